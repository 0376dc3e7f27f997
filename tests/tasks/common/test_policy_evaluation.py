"""Samples of a policy, judged: the same whichever thread does it, and none left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.judges.held_out import HeldOut
from model.judges.panel import Panel
from model.sampling import Decoding
from model.voice import Voice
from tasks.common import paths, policy_evaluation
from tasks.common.engine import Workers
from tasks.common.evaluation import EvaluationSet, Judges
from tasks.common.policy_evaluation import Studio, count_errors, evaluate_policy, per_thread
from tests.tasks.register import tiny

DECODING = Decoding(max_frames_per_character=2.0)
FEW = 4  # samples at a time


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that evaluates an untrained policy with so many threads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policy_evaluation, "PART", FEW)
    params = tiny.params(tmp_path)
    params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"batch_size": FEW})})
    tiny.write_models(tmp_path)
    tiny.write_recognizer(tmp_path)
    tiny.write_policy(tmp_path, "0", seed=0)
    tiny.write_split(tmp_path, "dev")
    voice = Voice.load(paths.ar("0"), paths.NAR, params.models.codec, "cpu", params.prompt_frames)
    texts = EvaluationSet.read("dev", params)
    judges = Judges(Panel(params.models.recognizer), HeldOut(None, None))
    before = torch.get_num_threads()

    def run(threads: int, keep: tuple[int, ...] = ()):
        torch.set_num_threads(threads)
        workers = Workers.here(params, Studio(voice, per_thread(judges)), torch.device("cpu"))
        found = evaluate_policy(workers, texts, DECODING, 2, params, "test", keep=keep)
        return texts, found, count_errors(workers, texts, DECODING, params, "test")

    yield run
    torch.set_num_threads(before)


def test_threads_change_nothing_and_nothing_is_left_out(evaluated):
    texts, alone, errors = evaluated(1)
    _, shared, errors_again = evaluated(2)
    assert [row["id"] for row in alone.rows] == 2 * [row["id"] for row in texts.rows]
    for one, other in zip(alone.rows, shared.rows, strict=True):
        assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-4)
        assert {**one, "similarity": 0} == {**other, "similarity": 0}
    assert errors == errors_again
    assert [found.n_reference for found in errors] == [row["words"] for row in alone.rows[: len(texts)]]


def test_draws_of_a_text_differ_and_only_the_wanted_audio_is_kept(evaluated):
    texts, found, _ = evaluated(1, keep=(0, 3))
    first, second = found.sampled[: len(texts)], found.sampled[len(texts) :]
    assert any(a.tokens.tolist() != b.tokens.tolist() for a, b in zip(first, second, strict=True))
    assert sorted(found.waves) == [0, 3]
    assert len(found.waves[3]) == pytest.approx(found.rows[3]["seconds"] * tiny.SAMPLE_RATE)
