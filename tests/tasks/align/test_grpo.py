"""GRPO through its own rollouts, rewarded by a rule that the test writes."""

import math
from dataclasses import replace

import pytest
import torch

from model.errors import TrainingError
from model.judges.panel import Judgement
from model.objectives.logprobs import IGNORE
from model.training import Optimization, fit
from tasks.align.grpo import Grpo, wer_of
from tasks.align.methods import METHODS
from tasks.common.files import DataError
from tests.sequences import FIRST_CODE
from tests.tasks.align import files

SMALL = {"rollouts": 3, "prompts": 8, "draws": 4, "inner_epochs": 2, "clip": 0.2, "kl_weight": 0.02}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    files.write_workspace(tmp_path, monkeypatch)


def judgement(word_errors=0, words=10, similarity=0.5):
    return Judgement("x", word_errors, words, 0, 0, similarity, 0, 0, 1, word_errors, words)


def judged_by(monkeypatch, judge):
    """Judge each sample by ``judge(sample)``, a Judgement, instead of models."""
    kind = type("Judge", (), {"judge": lambda self, samples: [judge(s) for s in samples]})
    monkeypatch.setattr(Grpo, "judge", kind())


def code_of(sample):
    """Return the first code of a sample."""
    return int(sample["tokens"][0]) - FIRST_CODE


def first_code(sample):
    """Errors by the first code, so that draws of a text differ; no samples are alike in voice."""
    code = code_of(sample)
    return judgement(word_errors=code % 4, similarity=0.5 + code / 100)


def method_of(frames_per_character=12.0, **changes):
    options = {"method": "grpo", "grpo": {**SMALL, **changes.pop("grpo", {})}, **changes}
    return METHODS["grpo"](files.job(frames_per_character=frames_per_character, **options))


def train(method, lr=1e-2, **options):
    fit(method.model, method.batches, method.loss, Optimization(lr=lr, steps=method.steps), seed=1, cpu=True, **options)


@pytest.mark.parametrize(
    ("changes", "errors", "wer"),
    [({}, 1, 0.25), ({}, 9, 1.0), ({"finished": False}, 1, 1.0), ({"tokens": []}, 0, 1.0)],
)
def test_the_wer_that_counts_is_at_most_1_and_1_for_a_sample_that_is_not_whole(changes, errors, wer):
    sample = type("Sample", (), {"finished": True, "tokens": [1], **changes})
    assert wer_of(sample, judgement(errors, words=4)) == wer


def test_advantages_add_up_to_0_in_each_group_and_fall_with_the_errors(monkeypatch):
    judged_by(monkeypatch, first_code)
    method = method_of(grpo={"similarity_weight": 0.0}, frames_per_character=40.0)
    groups = method.judged(method.sample(0), 0)
    assert [len(group) for group in groups] == [4] * 8
    for group in groups:
        assert len({(e.text, e.prompt_id) for e in group}) == 1 and len({e.id for e in group}) == 4
        assert sum(e.advantage for e in group) == pytest.approx(0.0, abs=1e-9)
        best = max(group, key=lambda e: e.reward)
        assert best.advantage == max(e.advantage for e in group)


def voices_only(sample):
    """No word is right, and each voice is another; of the samples in the voice of g0, some have all words right."""
    right = sample["prompt_id"] == "g0" and code_of(sample) % 2
    return judgement(word_errors=0 if right else 10, similarity=code_of(sample) / 16)


def test_a_group_whose_samples_differ_in_voice_only_has_no_advantages(monkeypatch):
    judged_by(monkeypatch, voices_only)
    method = method_of(grpo={"prompts": 12}, frames_per_character=40.0)
    by_prompt = {group[0].prompt_id: group for group in method.judged(method.sample(0), 0)}
    assert any(e.advantage for e in by_prompt.pop("g0"))
    assert not any(e.advantage for group in by_prompt.values() for e in group)


def test_if_no_group_can_be_ranked_the_error_says_so_and_what_to_do(monkeypatch):
    judged_by(monkeypatch, lambda s: judgement(word_errors=5, similarity=code_of(s) / 16))
    method = method_of(frames_per_character=40.0)
    drawn = [[replace(episode, finished=True) for episode in group] for group in method.sample(0)]
    with pytest.raises(DataError, match=r"in none of 8 groups.*raise align\.grpo\.draws"):
        method.judged(drawn, 0)


def test_samples_that_all_fail_alike_are_told_from_those_that_are_all_right(monkeypatch):
    judged_by(monkeypatch, lambda sample: judgement(word_errors=12, words=10))
    with pytest.raises(DataError, match=r"no sample of 32 has fewer errors .*start from a policy that reads its texts"):
        method_of(frames_per_character=40.0).batches(0)
    method = method_of(frames_per_character=40.0)
    drawn = [[replace(episode, finished=False) for episode in group] for group in method.sample(0)]
    with pytest.raises(DataError, match=r"all 32 samples were cut off at 40 .*raise decoding\."):
        method.judged(drawn, 0)


def test_a_reward_that_is_not_finite_stops_with_the_samples_name(monkeypatch):
    judged_by(monkeypatch, lambda s: judgement(similarity=math.nan))
    with pytest.raises(TrainingError, match=r"reward of sample p\d+#\d is nan"):
        method_of().batches(0)


def test_a_step_holds_whole_groups_so_that_its_advantages_add_up_to_0(monkeypatch):
    judged_by(monkeypatch, first_code)
    method = method_of(batch_pairs=4, micro_pairs=1, frames_per_character=40.0)
    for step in range(method.steps_per_rollout):
        batches = method.batches(step)
        assert sum(b["advantages"].sum().item() for b in batches) == pytest.approx(0.0, abs=1e-5)
        assert sum(b.weight for b in batches) == 8  # two sequences for each of 4 pairs


def test_each_rollout_samples_other_texts_from_the_policy_of_that_moment(monkeypatch):
    judged_by(monkeypatch, first_code)
    method = method_of(frames_per_character=40.0)
    assert {r["id"] for r in method.texts(0)} != {r["id"] for r in method.texts(1)}
    before = method.sample(1)
    with torch.no_grad():
        method.model.lm_head.weight.mul_(3.0)
    after = method.sample(1)
    assert [[e.id for e in group] for group in before] == [[e.id for e in group] for group in after]
    assert any(
        len(a.tokens) != len(b.tokens) for x, y in zip(before, after, strict=True) for a, b in zip(x, y, strict=True)
    )


def test_at_the_first_step_the_policy_is_the_one_that_sampled_and_the_reference(monkeypatch):
    judged_by(monkeypatch, first_code)
    method = method_of(batch_pairs=16, micro_pairs=16, frames_per_character=40.0)
    [batch] = method.batches(0)
    loss, metrics = method.loss(method.model, batch)
    assert loss.item() == pytest.approx(-batch["advantages"].sum().item(), abs=1e-3)  # every ratio is 1
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-5) and metrics["clipped"] == 0
    assert (batch["reference"][batch["labels"] == IGNORE] == 0).all()


def test_one_batch_of_eight_equals_accumulated_batches(monkeypatch):
    judged_by(monkeypatch, first_code)
    found = []
    for micro in (4, 1):
        method = method_of(batch_pairs=4, micro_pairs=micro, frames_per_character=40.0)
        method.batches(0)
        with torch.no_grad():
            method.model.lm_head.weight.mul_(1.3)  # away from the policy that sampled
        assert {len(b.ids) for b in method.batches(1)} == {2 * micro}
        found.append(files.gradients(method, step=1))
    for together, accumulated in zip(*found, strict=True):
        torch.testing.assert_close(together, accumulated, atol=1e-6, rtol=1e-4)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    judged_by(monkeypatch, first_code)
    expected = method_of()
    train(expected)

    def stop(step, metrics):
        if step == expected.steps_per_rollout + 1:  # in the middle of the second rollout
            raise KeyboardInterrupt

    state = {"state_file": tmp_path / "s.pt", "save_every_seconds": 0.0}
    first, resumed = method_of(), method_of()
    with pytest.raises(KeyboardInterrupt):
        train(first, on_step=stop, may_save=first.may_save, **state)
    train(resumed, may_save=resumed.may_save, **state)
    for a, b in zip(expected.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_bandit_ends_at_its_best_arm(monkeypatch):
    """One code per utterance, one of sixteen without an error; similarity is noise."""
    noise = torch.Generator().manual_seed(0)

    def judge(sample):
        return judgement(int(code_of(sample) != 7), words=1, similarity=torch.rand(1, generator=noise).item() / 50)

    judged_by(monkeypatch, judge)
    monkeypatch.setattr("tasks.align.grpo.wer_of", lambda episode, judged: judged.wer)  # one code never ends
    settings = {"rollouts": 16, "prompts": 16, "draws": 8, "inner_epochs": 2}
    method = method_of(grpo=settings, frames_per_character=1.0, batch_pairs=16, micro_pairs=16)
    assert files.probability_of(method.model, 7) < 0.1
    train(method)
    assert files.probability_of(method.model, 7) > 0.9
