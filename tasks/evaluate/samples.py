"""What the policy sampled for each test utterance, as rows of ``schemas.SAMPLES``: the gap is measured on these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.voice import Utterance
from tasks.common.evaluation import TestSet
from tasks.common.params import Params


def rows_of(test: TestSet, spoken: Sequence[Utterance], params: Params, policy: str) -> list[dict[str, Any]]:
    """One row an utterance, in the test set's order; ``policy`` is the digest of the checkpoint that spoke."""
    return [
        {
            "id": row["id"],
            "prompt_id": prompt["id"],
            "draw": 0,
            "seed": seed,
            "tokens": utterance.sampled.tokens.tolist(),
            "logprobs": utterance.sampled.logprobs.tolist(),
            "finished": utterance.sampled.finished,
            "temperature": params.decoding.temperature,
            "top_k": params.decoding.top_k,
            "max_frames_per_character": params.decoding.max_frames_per_character,
            "policy": policy,
        }
        for row, prompt, seed, utterance in zip(test.rows, test.prompt_rows, test.seeds, spoken, strict=True)
    ]
