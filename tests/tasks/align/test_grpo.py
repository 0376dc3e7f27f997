"""GRPO on written samples and judgements."""

import math

import pytest
import torch

from model import policy
from model.training import Optimization, TrainingError, fit
from tasks.align.judged import groups_of, reward_of
from tasks.align.methods import METHODS
from tasks.align.schedule import chunks
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table, write_table
from tests.tasks.align import files
from tests.tasks.align.pairs import small_ar


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)


def rewrite(path, schema, change):
    rows = read_table(path, schema)
    write_table(path, [row for row in map(change, rows) if row is not None], schema)


SAMPLE = {"id": "u", "draw": 0, "tokens": [1], "finished": True}


@pytest.mark.parametrize(
    ("sample", "scores", "reward"),
    [
        ({}, {"word_errors": 1}, -0.25 + 0.4),
        ({"finished": False}, {"word_errors": 1}, -1 + 0.4),  # cut off: all its words are wrong
        ({"finished": False}, {"word_errors": 6}, -1.5 + 0.4),
        ({"tokens": []}, {"word_errors": 0}, -1 + 0.4),
    ],
)
def test_the_reward_is_the_wer_and_the_similarity_of_a_whole_sample(sample, scores, reward):
    judgement = {"words": 4, "similarity": 0.8, **scores}
    assert reward_of({**SAMPLE, **sample}, judgement, 0.5) == pytest.approx(reward)


@pytest.mark.parametrize("broken", [{"similarity": math.nan}, {"words": 0}])
def test_a_reward_that_is_not_finite_stops_with_the_samples_name(broken):
    files.write_samples(**broken)
    with pytest.raises(TrainingError, match="sample g0, draw 0"):
        groups_of(files.job(method="grpo"))


def test_groups_are_of_one_text_and_prompt_and_those_of_equal_rewards_are_left_out():
    files.write_samples(groups=3)

    def judge(row):  # g0's samples are all alike, g1's and g2's are not
        return {**row, "word_errors": 3 if row["id"] == "g0" else row["draw"]}

    rewrite(paths.judgements("1"), schemas.JUDGEMENTS, judge)

    def end(row):  # so that all have an end mark
        return {**row, "finished": True, "logprobs": [-1.0] * (len(row["tokens"]) + 1)}

    rewrite(paths.samples("1"), schemas.SAMPLES, end)
    groups = groups_of(files.job(method="grpo"))
    assert [[e.id for e in group] for group in groups] == [[f"{g}#{i}" for i in range(4)] for g in ("g1", "g2")]
    for group in groups:
        advantages = [e.advantage for e in group]
        assert sum(advantages) == pytest.approx(0.0, abs=1e-9)
        assert advantages == sorted(advantages, reverse=True)  # the more errors, the worse


def test_a_step_holds_whole_groups_so_that_its_advantages_add_up_to_0():
    files.write_samples(groups=12)
    method = METHODS["grpo"](files.job(method="grpo", batch_pairs=4, micro_pairs=1, epochs=1))
    seen = []
    for step in range(method.steps):
        batches = method.batches(step)
        assert sum(b["advantages"].sum().item() for b in batches) == pytest.approx(0.0, abs=1e-5)
        assert sum(b.weight for b in batches) <= 8
        seen += [name for b in batches for name in b.ids]
    assert len(seen) == len(set(seen)) == sum(map(len, groups_of(files.job(method="grpo"))))


def test_if_all_rewards_are_equal_the_error_says_so_and_what_to_do():
    files.write_samples(word_errors=1)
    with pytest.raises(DataError, match=r"in none of 6 groups.*raise sample\.draws"):
        METHODS["grpo"](files.job(method="grpo"))


def test_samples_of_another_policy_or_without_judgement_are_refused():
    files.write_samples()
    rewrite(paths.judgements("1"), schemas.JUDGEMENTS, lambda row: None if row["id"] == "g1" else row)
    with pytest.raises(DataError, match="4 samples have no judgement"):
        METHODS["grpo"](files.job(method="grpo"))
    policy.save(small_ar(5), paths.ar("0"))
    with pytest.raises(DataError, match="run `sample` again"):
        METHODS["grpo"](files.job(method="grpo"))


def test_at_the_first_step_the_policy_is_the_one_that_sampled_and_the_reference():
    files.write_samples()
    method = METHODS["grpo"](files.job(method="grpo", batch_pairs=12, micro_pairs=12))
    [batch] = method.batches(0)
    loss, metrics = method.loss(method.model, batch)
    assert loss.item() == pytest.approx(-batch["advantages"].sum().item(), abs=1e-3)  # every ratio is 1
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-5) and metrics["clipped"] == 0


def test_one_batch_of_eight_equals_eight_accumulated_batches_of_one(monkeypatch):
    files.write_samples()
    found = []
    for micro in (8, 1):
        monkeypatch.setattr("tasks.align.grpo.chunks", lambda items, _, n=micro: chunks(items, n))
        method = METHODS["grpo"](files.job(method="grpo", batch_pairs=4))
        with torch.no_grad():
            method.model.lm_head.weight.mul_(1.3)  # away from the policy that sampled
        found.append(files.gradients(method))
        assert {len(b.ids) for b in method.batches(0)[:-1]} <= {micro}
    for together, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(together, accumulated, atol=1e-6, rtol=1e-4)


def test_samples_that_the_judges_scored_high_become_likelier():
    files.write_samples(groups=12, each=8)
    method = METHODS["grpo"](files.job(method="grpo", batch_pairs=16, micro_pairs=16, epochs=3))
    before = files.probability_of(method.model, 7)
    fit(method.model, method.batches, method.loss, Optimization(lr=1e-2, steps=method.steps), seed=1, cpu=True)
    assert files.probability_of(method.model, 7) > 1.5 * before
