"""Small pairs, a small policy, and a job over them, for the tests of the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from model import policy
from model.objectives.logprobs import collate, sequence_logprobs
from model.policy import Policy
from tasks.align.method import Job
from tasks.align.train_set import TrainSet
from tasks.common.params import Params
from tasks.common.params.aligning import OPTIONS
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tests.conftest import REPOSITORY, merge
from tests.sequences import Own

OWN = Own(16)
PROMPT = [1, 2]


def pair(i: int = 0, chosen: Any = (1, 2, 3), rejected: Any = (4, 5), **changes: Any) -> dict[str, Any]:
    """Return a pair of sides of these codes; ``prompt`` is not in the table, but in the utterance ``prompt_id``."""
    about: dict[str, Any] = {"text": "one", "chosen_finished": True, "rejected_finished": True} | changes
    sides = {"chosen": chosen, "rejected": rejected}
    tokens = {side: OWN.target(list(codes), about[f"{side}_finished"]) for side, codes in sides.items()}
    return {
        "id": f"u{i}", "iteration": "1", "prompt_id": "g0", "prompt": PROMPT, **tokens,
        "context": OWN.context(about["text"], PROMPT), "chosen_from": 0, "rejected_from": 0, "chosen_logprob": -1.0,
        "rejected_logprob": -2.0, "chosen_wer": 0.0, "rejected_wer": 0.5, "chosen_similarity": 0.8,
        "rejected_similarity": 0.75, "source": "own_samples", **about,
    }  # fmt: skip


def small_ar(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=64), OWN.codebook_size).model.eval()


def some_pairs(ar: Any, n: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Return pairs of all lengths with the policy's own log-probabilities as reference, each computed by itself."""
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(n):
        row = pair(
            i,
            chosen=rng.integers(0, 8, rng.integers(2, 12)).tolist(),
            rejected=rng.integers(8, 16, rng.integers(2, 12)).tolist(),
            text="one two"[: int(rng.integers(1, 7))],
            rejected_finished=bool(i % 2),
            rejected_wer=float(rng.uniform(0.2, 1.0)),
        )
        for side in ("chosen", "rejected"):
            ids, labels = collate([row["context"]], [row[side]])
            with torch.no_grad():
                row[f"{side}_logprob"] = sequence_logprobs(ar(ids).logits, labels).item()
        pairs.append(row)
    return pairs


def params(**changes: Any) -> Params:
    """Return the defaults with ``changes`` of the align block, training all parameters on samples at temperature 1.

    Options that the method does not use are left out, so that one set of changes suits every method.
    """
    content = yaml.safe_load(Path(REPOSITORY / "params.yaml").read_text())
    small = {"parameters": "all", "lr": 3e-5, "batch_pairs": 4, "micro_pairs": 4, "nll_weight": 0.0, "epochs": 2}
    merge(content, {"align": {**small, **changes}})
    method = content["align"]["method"]
    content["align"] |= {name: off for name, (off, users) in OPTIONS.items() if method not in users}
    return Params.model_validate(content)


def job(ar: Any, pairs: list[dict[str, Any]], **changes: Any) -> Job:
    """Return the job of a model; methods that ask for recordings find one: the pairs' voice prompt."""
    voice = {"id": "g0", "speaker": "x", "text": "one", "seen": True, "seconds": 0.04, "codes": [PROMPT]}
    made = Job(
        policy=Policy(ar, OWN.layout), pairs=pairs, params=params(**changes), iteration="1", device=torch.device("cpu")
    )
    if changes.get("method") == "coh":
        vars(made)["train_set"] = TrainSet(Voices(Utterances.of([voice]), 50), OWN.layout)
    return made
