"""A folder with the files that methods read: the previous policy, golden utterances, the pool of texts, pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model import policy
from model.policy import Policy
from tasks.align.method import Job
from tasks.common import paths, schemas
from tasks.common.files import write_table
from tests.sequences import FIRST_CODE
from tests.tasks.align.pairs import OWN, params, small_ar, some_pairs

TEXTS = "ab"
PROMPT = [1, 2, 3]


def train_rows(n: int = 12) -> list[dict[str, Any]]:
    rows = [{"id": f"g{i}", "speaker": "xy"[i // 2 % 2], "text": TEXTS[i % 2], "seen": True} for i in range(n)]
    return [{**row, "seconds": 0.06, "codes": [PROMPT]} for row in rows]


def pool_rows(n: int = 12) -> list[dict[str, Any]]:
    rows = [{"id": f"p{i}", "text": TEXTS[i % 2], "speaker": "x", "seen": True} for i in range(n)]
    return [{**row, "prompt_id": f"g{i}"} for i, row in enumerate(rows)]


def write_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch, pairs: int = 12) -> None:
    """Write policy 0 (``small_ar``), the train split, a pool of texts and iteration 1's pairs; make this the folder."""
    monkeypatch.chdir(folder)
    paths.run("0").mkdir(parents=True)
    policy.save(Policy(small_ar(), OWN.layout), paths.ar("0"))
    write_table(paths.codes("train"), train_rows(), schemas.CODES)
    write_table(paths.texts("train"), pool_rows(), schemas.TEXTS)
    write_table(paths.pairs("1"), some_pairs(small_ar(), pairs), schemas.PAIRS)


def job(frames_per_character: float = 12.0, ar: Any = None, **changes: Any) -> Job:
    """Return the job of iteration 1 in the current folder."""
    settings = params(**changes)
    decoding = settings.decoding.model_copy(update={"max_frames_per_character": frames_per_character})
    settings = settings.model_copy(update={"decoding": decoding})
    start = Policy(ar, OWN.layout) if ar else policy.load(paths.ar("0"))
    pairs = some_pairs(small_ar(), 12)
    return Job(policy=start, pairs=pairs, params=settings, iteration="1", device=torch.device("cpu"))


def probability_of(ar: Any, code: int) -> float:
    """Return the mean probability of ``code`` as an utterance's first code, over the train texts."""
    with torch.no_grad():
        contexts = torch.tensor([OWN.context(text, PROMPT) for text in TEXTS])
        return ar(contexts).logits[:, -1, FIRST_CODE:].softmax(-1)[:, code].mean().item()


def gradients(method: Any, step: int = 0) -> list[torch.Tensor]:
    """Return the gradient of one step's mean loss in every parameter of the method's model."""
    batches = method.batches(step)
    losses = [method.loss(method.model, b)[0] for b in batches]
    (torch.stack(losses).sum() / sum(b.weight for b in batches)).backward()
    return [p.grad for p in method.model.parameters()]
