"""Narrow weights: what is narrowed, what is not, and how far samples' log-probabilities move."""

import pytest
import torch

from model import policy
from model.precision import with_weights_in
from model.sampling import Decoding, Request, sample
from tests.sequences import Own

OWN = Own(32)


@pytest.fixture(scope="module")
def ar():
    torch.manual_seed(0)
    return policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=600), OWN.codebook_size).model.eval()


def test_a_copy_is_narrowed_but_for_the_rotary_frequencies(ar):
    before = {name: value.clone() for name, value in ar.state_dict().items()}
    narrow = with_weights_in(ar, torch.bfloat16)
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}
    assert torch.equal(narrow.model.rotary_emb.inv_freq, ar.model.rotary_emb.inv_freq)
    assert all(torch.equal(value, before[name]) for name, value in ar.state_dict().items())


def test_tied_weights_stay_one(ar):
    ar = with_weights_in(ar, torch.float32)
    ar.lm_head.weight = ar.model.embed_tokens.weight
    narrow = with_weights_in(ar, torch.bfloat16)
    assert narrow.lm_head.weight is narrow.model.embed_tokens.weight


def test_samples_in_bfloat16_have_the_log_probabilities_of_the_narrow_model_and_nearly_those_of_the_policy(ar):
    # Past position 256, where frequencies in bfloat16 would be those of another position.
    context = OWN.context("one two", [i % 32 for i in range(300)])
    requests = [Request(tuple(context), 40, seed) for seed in range(4)]
    narrow = with_weights_in(ar, torch.bfloat16)
    for sampled in sample(ar, requests, Decoding(), OWN.drawable, dtype=torch.bfloat16):
        sequence = torch.tensor([[*context, *sampled.target]])
        for model, most in ((narrow, 0.05), (ar, 0.1)):
            logprobs = model(sequence).logits.float().log_softmax(-1)[0, len(context) - 1 : -1]
            own = logprobs.gather(1, torch.tensor(sampled.target)[:, None])[:, 0]
            assert (torch.from_numpy(sampled.logprobs) - own).abs().max() < most
    assert {p.dtype for p in ar.parameters()} == {torch.float32}
