"""The sampler against transformers' own forward pass, and what a sample may depend on."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch

from model import policy, sampling
from model.drawable import Drawable, State, frames
from model.errors import CheckpointError, InputError
from model.layouts.own import EOS
from model.sampling import Decoding, Request, sample
from tests.sequences import Own

OWN = Own(32)
DRAWABLE = OWN.drawable


@pytest.fixture(scope="module")
def ar():
    torch.manual_seed(0)
    model = policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=128), OWN.codebook_size).model.eval()
    with torch.no_grad():  # an untrained model almost never ends; make the end mark likely enough
        model.lm_head.weight[EOS] += 0.5
    return model


@pytest.fixture(scope="module")
def requests():
    rng = np.random.default_rng(1)
    made = []
    for seed in range(24):
        text = "one two three"[: rng.integers(1, 13)]
        context = OWN.context(text, rng.integers(0, 32, rng.integers(1, 20)).tolist())
        made.append(Request(tuple(context), int(rng.integers(1, 60)), seed))
    return made


def firsts_of(sampled):
    """First codes of samples."""
    return [int(OWN.read(s.tokens)[0]) for s in sampled]


def test_logprobs_equal_a_teacher_forced_pass(ar, requests):
    for request, sampled in zip(requests, sample(ar, requests, Decoding(), DRAWABLE, 8), strict=True):
        target = sampled.target
        assert target == OWN.target(OWN.read(sampled.tokens), sampled.finished)
        sequence = torch.tensor([[*request.context, *target]])
        logprobs = ar(sequence).logits.log_softmax(-1)[0, len(request.context) - 1 : -1]
        expected = logprobs.gather(1, torch.tensor(target)[:, None])[:, 0]
        torch.testing.assert_close(torch.from_numpy(sampled.logprobs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(0.7, top_k=9, top_p=0.8)])
def test_behavior_is_the_log_probability_of_the_distribution_that_was_drawn_from(ar, requests, decoding):
    ids = [EOS, *DRAWABLE.codes]
    for request, sampled in zip(requests, sample(ar, requests, decoding, DRAWABLE, 8), strict=True):
        with torch.no_grad():
            logits = ar(torch.tensor([[*request.context, *sampled.target]])).logits[0, len(request.context) - 1 : -1]
        for step, (scores, token) in enumerate(zip(logits[:, ids] / decoding.temperature, sampled.target, strict=True)):
            if step == 0:
                scores[0] = -torch.inf
            order = scores.argsort(descending=True)[: decoding.top_k or None]
            falling = scores[order].softmax(-1)
            kept = order[: int((falling.cumsum(-1) - falling < decoding.top_p).sum())].tolist()
            expected = scores[kept].log_softmax(-1)[[ids[i] for i in kept].index(token)]
            assert abs(sampled.behavior[step] - float(expected)) < 1e-4


def test_a_sample_depends_on_its_own_seed_and_context_only(ar, requests):
    together = sample(ar, requests, Decoding(), DRAWABLE, 24)
    for batch_size in (1, 5):
        for a, b in zip(together, sample(ar, requests, Decoding(), DRAWABLE, batch_size), strict=True):
            assert np.array_equal(a.tokens, b.tokens)
    backwards = sample(ar, requests[::-1], Decoding(), DRAWABLE, 7)[::-1]
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(together, backwards, strict=True))


def test_another_seed_gives_another_sample(ar, requests):
    request = requests[0]
    a, b = sample(ar, [Request(request.context, 60, 1), Request(request.context, 60, 2)], Decoding(), DRAWABLE)
    assert not np.array_equal(a.tokens, b.tokens)


def test_limits_hold_and_cut_off_samples_say_so(ar, requests):
    sampled = sample(ar, requests, Decoding(), DRAWABLE, 8)
    assert {s.finished for s in sampled} == {True, False}
    for request, s in zip(requests, sampled, strict=True):
        assert 1 <= len(s.tokens) <= request.max_tokens
        assert s.finished or len(s.tokens) == request.max_tokens
        assert len(s.logprobs) == len(s.tokens) + s.finished
        assert s.tokens.dtype == np.int32 and set(s.tokens.tolist()) <= set(DRAWABLE.codes)
        assert (s.stop == EOS) is s.finished


def test_draws_follow_the_policy(ar, requests):
    """First tokens of many seeds against the policy's own distribution over codes (chi-square)."""
    context = requests[0].context
    firsts = firsts_of(sample(ar, [Request(context, 1, s) for s in range(4000)], Decoding(), DRAWABLE, 500))
    probabilities = ar(torch.tensor([context])).logits[0, -1, OWN.codes([0])[0] :].softmax(-1).detach().numpy()
    counts = np.bincount(firsts, minlength=32)
    chi2 = ((counts - 4000 * probabilities) ** 2 / (4000 * probabilities)).sum()
    assert chi2 < 61.1  # 31 degrees of freedom, p = 0.001


SLOTS = [np.asarray(DRAWABLE.codes[:12]), np.asarray(DRAWABLE.codes[12:19]), np.asarray(DRAWABLE.codes[19:])]
SLOTTED = Drawable(DRAWABLE.codes, DRAWABLE.stops, states=frames(SLOTS))


def in_order(tokens: np.ndarray) -> list[bool]:
    return [token in SLOTS[place % 3] for place, token in enumerate(tokens.tolist())]


def masked(ar, context, tokens, ids) -> np.ndarray:
    """Return probabilities of ``ids`` after a context and tokens, normalized over them."""
    with torch.no_grad():
        return ar(torch.tensor([[*context, *tokens]])).logits[0, -1, list(ids)].double().softmax(-1).numpy()


def test_a_slot_has_codes_of_its_level_only_and_a_stop_follows_whole_frames(ar, requests):
    free = sample(ar, requests, Decoding(), DRAWABLE, 8)
    assert not all(all(in_order(s.tokens)) for s in free)  # otherwise nothing is enforced below
    for decoding in (Decoding(), Decoding(0.7, top_k=9, top_p=0.8, repetition_penalty=1.2)):
        sampled = sample(ar, requests, decoding, SLOTTED, 8)
        assert {s.finished for s in sampled} == {True, False}
        for s in sampled:
            assert len(s.tokens) and all(in_order(s.tokens))
            assert len(s.tokens) % 3 == 0 or not s.finished


def test_behavior_is_that_of_the_slot_and_logprobs_stay_those_of_the_whole_vocabulary(ar, requests):
    for request, s in zip(requests, sample(ar, requests, Decoding(), SLOTTED, 8), strict=True):
        with torch.no_grad():
            logits = ar(torch.tensor([[*request.context, *s.target]])).logits[0, len(request.context) - 1 : -1]
        for step, (row, token) in enumerate(zip(logits, s.target, strict=True)):
            ids = [*SLOTS[step % 3].tolist(), *([EOS] if step and step % 3 == 0 else [])]
            assert abs(s.behavior[step] - float(row[ids].log_softmax(-1)[ids.index(token)])) < 1e-4
            assert abs(s.logprobs[step] - float(row.log_softmax(-1)[token])) < 1e-4


def test_draws_in_slots_follow_the_policy_among_what_may_stand_there(ar, requests):
    """First tokens, and second and third ones after the commonest beginnings, of many seeds (chi-square)."""
    context = requests[0].context
    drawn = [s.target for s in sample(ar, [Request(context, 3, s) for s in range(8000)], Decoding(), SLOTTED, 500)]
    # Degrees of freedom 11, 6 and 12, p = 0.001 each.
    for place, ids, limit in ((0, SLOTS[0], 31.3), (1, SLOTS[1], 22.5), (2, SLOTS[2], 32.9)):
        begins = Counter(tuple(target[:place]) for target in drawn)
        [(begin, n)] = begins.most_common(1)
        expected = n * masked(ar, context, begin, ids)
        counts = Counter(target[place] for target in drawn if tuple(target[:place]) == begin)
        found = np.array([counts[int(token)] for token in ids])
        assert found.sum() == n and expected.min() > 1
        assert ((found - expected) ** 2 / expected).sum() < limit


def test_rows_that_leave_a_batch_keep_the_others_in_their_slots(ar, requests):
    together = sample(ar, requests, Decoding(), SLOTTED, 24)
    for a, b in zip(together, sample(ar, requests, Decoding(), SLOTTED, 1), strict=True):
        assert np.array_equal(a.tokens, b.tokens)


@pytest.mark.parametrize("drawable", [DRAWABLE, SLOTTED], ids=["any code", "slots"])
@pytest.mark.parametrize("steps", [5, 1000])
def test_asking_seldom_which_rows_have_finished_changes_no_sample(ar, requests, drawable, steps, monkeypatch):
    """As on a GPU: rows go on past their stop, their limit and the model's last position until they leave."""
    last = Request(requests[0].context, ar.config.max_position_embeddings - len(requests[0].context), 7)
    decoding = Decoding(repetition_penalty=1.2, repetition_window=6)
    expected = sample(ar, [*requests, last], decoding, drawable, 8)
    monkeypatch.setitem(sampling.CHECK_EVERY, "cpu", steps)
    for a, b in zip(expected, sample(ar, [*requests, last], decoding, drawable, 8), strict=True):
        assert np.array_equal(a.tokens, b.tokens) and (a.finished, a.stop) == (b.finished, b.stop)
        np.testing.assert_allclose(b.logprobs, a.logprobs, atol=1e-5)
        np.testing.assert_allclose(b.behavior, a.behavior, atol=1e-5)


def test_states_that_name_no_codes_or_lead_nowhere_are_refused():
    for states in ([State(((np.array([1]), 0),))], [State(((SLOTS[0], 1),))], [State(())]):
        with pytest.raises(ValueError, match="state 0"):
            Drawable(DRAWABLE.codes, DRAWABLE.stops, states=tuple(states))


def test_a_temperature_sharpens_the_policy(ar, requests):
    """First tokens of many seeds against the policy's distribution to the power of 2, normalized (chi-square)."""
    context = requests[0].context
    firsts = firsts_of(sample(ar, [Request(context, 1, s) for s in range(4000)], Decoding(0.5), DRAWABLE, 500))
    logits = ar(torch.tensor([context])).logits[0, -1, OWN.codes([0])[0] :]
    probabilities = (logits / 0.5).softmax(-1).detach().numpy()
    chi2 = ((np.bincount(firsts, minlength=32) - 4000 * probabilities) ** 2 / (4000 * probabilities)).sum()
    assert chi2 < 61.1  # 31 degrees of freedom, p = 0.001


def test_top_p_draws_from_the_fewest_codes_that_reach_it(ar, requests):
    context = requests[0].context
    probabilities = ar(torch.tensor([context])).logits[0, -1, OWN.codes([0])[0] :].softmax(-1).detach().numpy()
    order = np.argsort(-probabilities)
    reached = int((np.cumsum(probabilities[order]) < 0.5).sum()) + 1
    drawn = sample(ar, [Request(context, 1, seed) for seed in range(2000)], Decoding(top_p=0.5), DRAWABLE, 500)
    assert set(firsts_of(drawn)) == set(order[:reached].tolist())


def test_a_tiny_top_p_is_greedy(ar, requests):
    request = Request(requests[0].context, 30, 1)
    [a], [b] = (sample(ar, [request], decoding, DRAWABLE) for decoding in (Decoding(top_p=1e-6), Decoding(top_k=1)))
    assert np.array_equal(a.tokens, b.tokens)


def test_top_k_one_is_greedy(ar, requests):
    [a] = sample(ar, [Request(requests[0].context, 30, 1)], Decoding(top_k=1), DRAWABLE)
    [b] = sample(ar, [Request(requests[0].context, 30, 2)], Decoding(top_k=1), DRAWABLE)
    assert np.array_equal(a.tokens, b.tokens)


def test_a_context_too_long_for_the_model_is_refused(ar):
    with pytest.raises(ValueError, match="exceed the model's 128 positions"):
        sample(ar, [Request(tuple([1] * 100), 60, 0)], Decoding(), DRAWABLE)


def test_requests_of_one_context_share_its_computation_and_nothing_else(ar, requests):
    context = requests[0].context
    together = sample(ar, [Request(context, 40, s) for s in range(4)] + list(requests[1:6]), Decoding(), DRAWABLE)
    for seed in range(4):
        [alone] = sample(ar, [Request(context, 40, seed)], Decoding(), DRAWABLE)
        assert np.array_equal(together[seed].tokens, alone.tokens)
        np.testing.assert_allclose(together[seed].logprobs, alone.logprobs, atol=1e-5)


def test_a_policy_with_a_nan_is_refused_when_it_is_loaded_and_when_it_is_sampled(ar, requests, tmp_path):
    broken = copy.deepcopy(ar)
    with torch.no_grad():
        broken.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite, so nothing can be drawn"):
        sample(broken, requests, Decoding(), DRAWABLE)
    policy.save(policy.Policy(broken, OWN.layout), tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"up_proj\.weight are not finite"):
        policy.load(tmp_path / "broken")


@pytest.mark.parametrize(
    "wrong", [{"temperature": 1e-40}, {"temperature": 0.0}, {"temperature": -1.0}, {"temperature": float("inf")},
              {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}]
)  # fmt: skip
def test_a_decoding_out_of_its_bounds_is_refused(ar, requests, wrong):
    with pytest.raises(InputError, match=r"expected a temperature of at least 0\.01"):
        sample(ar, requests, Decoding(**wrong), DRAWABLE)


def test_batches_are_of_one_size_and_no_larger_than_asked(ar, requests):
    sizes = []
    assert len(sample(ar, requests[:17], Decoding(), DRAWABLE, 8, sizes.append)) == 17
    assert sorted(sizes) == [5, 6, 6]
    assert sample(ar, [], Decoding(), DRAWABLE) == []
