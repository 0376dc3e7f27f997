"""What holds for every method that trains on pairs."""

import copy
import math
from typing import get_args

import pytest
import torch

from model import policy
from model.errors import TrainingError
from model.objectives.coh import BAD, GOOD
from model.training import Optimization, fit
from tasks.align.method import Job
from tasks.align.methods import METHODS
from tasks.align.train_set import TrainSet
from tasks.common.params.aligning import Align
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tests.sequences import voice_of
from tests.tasks.align.pairs import OWN, job, params, small_ar, some_pairs

ON_PAIRS = ("dpo", "ipo", "rpo", "simpo", "kto", "coh")


@pytest.fixture
def ar():
    return small_ar()


@pytest.fixture
def reference(monkeypatch):
    """The methods that load the reference policy get an untrained copy."""
    monkeypatch.setattr(Job, "load_reference", lambda self: small_ar().requires_grad_(False))


def losses(method, step=0):
    batches = method.batches(step)
    return sum(method.loss(method.model, b)[0] for b in batches) / sum(b.weight for b in batches)


def gap(pair):
    return pair["rejected_wer"] - pair["chosen_wer"] + pair["chosen_similarity"] - pair["rejected_similarity"]


def rpo_at_start(pairs, eta):
    shares = [1 / (1 + math.exp(-eta * gap(p))) for p in pairs]
    return sum(math.log(2) + s * math.log(s) + (1 - s) * math.log(1 - s) for s in shares) / len(pairs)


def test_every_method_that_params_offer_has_a_class():
    assert set(get_args(Align.model_fields["method"].annotation)) == set(METHODS)


@pytest.mark.parametrize("name", ["dpo", "ipo", "rpo", "kto"])
def test_the_loss_at_step_0_is_the_analytic_one_with_cached_reference_logprobs(ar, reference, name):
    pairs = some_pairs(ar)
    made = job(ar, pairs, method=name, batch_pairs=5, micro_pairs=5)
    expected = {
        "dpo": math.log(2),
        "ipo": 1 / (2 * made.beta) ** 2,
        "rpo": rpo_at_start(pairs, made.align.rpo.eta),
        "kto": 0.5,
    }
    assert losses(METHODS[name](made)).item() == pytest.approx(expected[name], rel=1e-4)


@pytest.mark.parametrize("name", [*ON_PAIRS, "dpo length-normalized"])
def test_one_batch_of_four_equals_four_accumulated_batches_of_one(reference, name):
    options = {"method": name.split()[0], "length_normalized": "length" in name, "nll_weight": 0.3}
    gradients = []
    for micro in (4, 1):
        ar = small_ar()
        pairs = some_pairs(ar, 8)
        with torch.no_grad():
            ar.lm_head.weight.mul_(1.3)  # away from the reference
        losses(METHODS[options["method"]](job(ar, pairs, micro_pairs=micro, **options))).backward()
        gradients.append([p.grad for p in ar.parameters()])
    for together, accumulated in zip(*gradients, strict=True):
        torch.testing.assert_close(together, accumulated, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ON_PAIRS)
def test_training_prefers_the_chosen_side(ar, reference, name):
    pairs = some_pairs(ar, 12)
    method = METHODS[name](job(ar, pairs, method=name, epochs=8))
    before, rows = copy.deepcopy(ar), []
    fit(
        method.model,
        method.batches,
        method.loss,
        Optimization(lr=1e-2, steps=method.steps),
        seed=1,
        cpu=True,
        on_step=lambda step, metrics: rows.append(metrics),
    )
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert any((a != b).any() for a, b in zip(ar.parameters(), before.parameters(), strict=True))
    if "accuracy" in rows[0]:
        assert rows[-1]["accuracy"] == 1.0


def test_a_policy_aligned_by_hindsight_asks_for_good_speech_wherever_it_is_loaded(ar, tmp_path):
    method = METHODS["coh"](job(ar, some_pairs(ar), method="coh"))
    policy.save(policy.Policy(ar, method.learned()), tmp_path)
    loaded = policy.load(tmp_path).layout
    assert loaded.context("one", voice_of([1])) == OWN.context(f"{GOOD}one", [1])


def test_the_verdict_is_no_word_that_could_be_synthesized():
    assert GOOD != BAD and not any(c.isalpha() for c in GOOD + BAD)


def test_continued_sft_takes_as_many_steps_and_sequences_as_a_pairwise_method(ar, monkeypatch):
    rows = [
        {"id": f"g{i}", "speaker": "ab"[i % 2], "text": "one", "codes": [[1, 2, 3 + i % 5]], "seen": True}
        for i in range(30)
    ]
    monkeypatch.setattr(Job, "train_set", TrainSet(Voices(Utterances.of(rows), 50), OWN.layout))
    pairs = some_pairs(ar, 10)
    control, pairwise = (METHODS[m](job(ar, pairs, method=m)) for m in ("sft", "dpo"))
    assert control.steps == pairwise.steps
    assert sum(b.weight for b in control.batches(0)) == 2 * params().align.batch_pairs
    assert [b.ids for b in control.batches(1)] == [b.ids for b in control.batches(1)]


def test_rejection_sampling_takes_a_pairwise_methods_steps_and_learns_the_chosen_sides_only(ar):
    pairs = some_pairs(ar, 10)
    control, pairwise = (METHODS[m](job(ar, pairs, method=m)) for m in ("rejection", "dpo"))
    assert control.steps == pairwise.steps
    for step in range(control.steps):
        [batch], [both] = control.batches(step), pairwise.batches(step)
        assert batch.ids == both.ids and batch.weight == both.weight
        for row, name in enumerate(batch.ids):
            pair = next(p for p in pairs if f"{p['id']}@1" == name)
            scored = batch["labels"][row][batch["labels"][row] >= 0].tolist()
            assert scored == pair["chosen"]


def test_a_loss_that_is_not_finite_stops_with_the_pairs_names_and_changes_nothing(ar):
    pairs = some_pairs(ar, 4)
    pairs[2]["chosen_logprob"] = float("nan")
    method = METHODS["dpo"](job(ar, pairs, method="dpo", epochs=1))
    before = [p.clone() for p in ar.parameters()]
    with pytest.raises(TrainingError, match="'u2@1'"):
        fit(method.model, method.batches, method.loss, Optimization(lr=1e-2, steps=method.steps), seed=1, cpu=True)
    assert all((a == b).all() for a, b in zip(ar.parameters(), before, strict=True))
