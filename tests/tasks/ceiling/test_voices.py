"""The bounds of a voice's similarity, by a judge whose embeddings are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.ceiling.voices import bounds
from tasks.common.evaluation import EvaluationSet
from tests.tasks.register import tiny

AXES = np.eye(3)


def evaluation_set(speakers: list[int]) -> EvaluationSet:
    """Two utterances per speaker, each prompted by the other; speaker 2 is unseen."""
    rows = [
        {"id": f"{s}{i}", "speaker": f"s{s}", "seen": s < 2, "prompt_id": f"{s}{1 - i}"}
        for s in speakers
        for i in range(2)
    ]
    golden = {row["id"]: np.full(1, float(row["speaker"][1]), np.float32) for row in rows}
    return EvaluationSet(rows, [torch.zeros(1, 1)] * len(rows), golden, 0)


class Embedder:
    """Speakers 0 and 1 have similarity 0.6; speaker 2 is like neither."""

    def embed(self, waves, sample_rate):
        voices = np.stack([AXES[0], 0.6 * AXES[0] + 0.8 * AXES[1], AXES[2]])
        return np.stack([voices[int(wave[0])] for wave in waves])


@pytest.fixture
def params(tmp_path: Path):
    return tiny.params(tmp_path)


def test_the_ceiling_is_the_same_speaker_and_the_floor_all_others(params):
    test = evaluation_set([0, 1, 2])
    found = bounds(test, [test.golden[row["id"]] for row in test.rows], Embedder(), 16000, params)
    assert set(found) == {"seen", "unseen"}
    assert found["seen"]["ceiling"].value == pytest.approx(1)
    assert found["seen"]["floor"].value == pytest.approx(0.3)  # mean of 0.6 and 0, for each of both
    assert found["unseen"]["floor"].value == pytest.approx(0)


def test_one_speaker_alone_has_no_floor(params):
    test = evaluation_set([0])
    assert bounds(test, list(test.golden.values()), Embedder(), 16000, params) == {}
