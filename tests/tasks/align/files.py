"""A folder with the files that methods read: the previous policy, train texts, pairs, samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import policy
from model.sampling import Decoding, Request, sample
from model.tokens import FIRST_CODE
from tasks.align.method import Job
from tasks.common import paths, schemas
from tasks.common.files import write_table
from tests.tasks.align.pairs import VOCABULARY, params, small_ar, some_pairs

TEXTS = "ab"
PROMPT = [1, 2, 3]


def train_rows(n: int = 12) -> list[dict[str, Any]]:
    rows = [{"id": f"g{i}", "speaker": "xy"[i // 2 % 2], "text": TEXTS[i % 2], "seen": True} for i in range(n)]
    return [{**row, "seconds": 0.06, "codes": [PROMPT]} for row in rows]


def write_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch, pairs: int = 12) -> None:
    """Write policy 0 (``small_ar``), the train split and iteration 1's pairs to ``folder``; make it the current one."""
    monkeypatch.chdir(folder)
    paths.run("0").mkdir(parents=True)
    policy.save(small_ar(), paths.ar("0"))
    write_table(paths.codes("train"), train_rows(), schemas.CODES)
    write_table(paths.pairs("1"), some_pairs(small_ar(), pairs), schemas.PAIRS)


def job(frames_per_character: float = 12.0, ar: Any = None, **changes: Any) -> Job:
    """Return the job of iteration 1 in the current folder."""
    settings = params(**changes)
    decoding = settings.decoding.model_copy(update={"max_frames_per_character": frames_per_character})
    settings = settings.model_copy(update={"decoding": decoding})
    ar, pairs = ar or policy.load(paths.ar("0")), some_pairs(small_ar(), 12)
    return Job(ar=ar, pairs=pairs, params=settings, iteration="1", device=torch.device("cpu"))


def write_samples(groups: int = 6, each: int = 4, wanted: int = 7, **changes: Any) -> None:
    """Write samples of policy 0 for ``groups`` texts, and judgements: the more ``wanted`` codes, the better.

    ``changes`` are fields of every judgement. Most samples are cut off, so their WER has to be above 1 to count.
    """
    ar, rows = policy.load(paths.ar("0")), train_rows()
    meta, requests = [], []
    for g in range(groups):
        for draw in range(each):
            seed = 100 * g + draw
            text, prompt = rows[g]["text"], rows[(g + 4) % 12]["id"]
            meta.append({"id": rows[g]["id"], "text": text, "prompt_id": prompt, "draw": draw, "seed": seed})
            requests.append(Request(tuple(VOCABULARY.context(text, PROMPT)), 12, seed))
    drawn = sample(ar, requests, Decoding())
    made = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_frames_per_character": 12.0}
    made |= {"policy": policy.digest(paths.ar("0"))}
    samples = [
        {**m, **made, "tokens": s.tokens.tolist(), "logprobs": s.logprobs.tolist(), "finished": s.finished}
        for m, s in zip(meta, drawn, strict=True)
    ]
    judgements = [
        {
            "id": m["id"], "draw": m["draw"], "seed": m["seed"], "hypothesis": "", "judge": "test", "words": 1,
            "word_errors": 13 - int(np.sum(s.tokens == wanted)), "similarity": 0.5, **changes,
        }
        for m, s in zip(meta, drawn, strict=True)
    ]  # fmt: skip
    write_table(paths.samples("1"), samples, schemas.SAMPLES)
    write_table(paths.judgements("1"), judgements, schemas.JUDGEMENTS)


def probability_of(ar: Any, code: int) -> float:
    """Return the mean probability of ``code`` as an utterance's first code, over the train texts."""
    with torch.no_grad():
        contexts = torch.tensor([VOCABULARY.context(text, PROMPT) for text in TEXTS])
        return ar(contexts).logits[:, -1, FIRST_CODE:].softmax(-1)[:, code].mean().item()


def gradients(method: Any, step: int = 0) -> list[torch.Tensor]:
    """Return the gradient of one step's mean loss in every parameter of the method's model."""
    batches = method.batches(step)
    losses = [method.loss(method.model, b)[0] for b in batches]
    (torch.stack(losses).sum() / sum(b.weight for b in batches)).backward()
    return [p.grad for p in method.model.parameters()]
