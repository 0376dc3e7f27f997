"""The change from one policy to another, and the part of it that one temperature gives."""

import pytest
import torch

from model import policy
from model.divergence import change, code_logprobs, entropy
from model.layouts.own import EOS
from model.objectives.logprobs import collate, next_token_logits, token_logprobs
from tests.sequences import FIRST_CODE, Own

CODEBOOK = 16


def logprobs(seed: int, scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(300, CODEBOOK + 1, generator=generator)).log_softmax(dim=-1)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.6, 5.0])
def test_a_policy_that_is_a_temperature_is_found_out(temperature: float):
    start = logprobs(0)
    found = change((start / temperature).log_softmax(dim=-1), start)
    assert found.temperature == pytest.approx(temperature, rel=1e-3)
    assert found.share == pytest.approx(1.0, abs=1e-4)


def test_the_divergence_is_that_of_the_definition():
    after, before = logprobs(1), logprobs(0)
    expected = torch.nn.functional.kl_div(before, after, log_target=True, reduction="none").sum(dim=-1).mean()
    assert change(after, before).kl == pytest.approx(float(expected), rel=1e-5)


def test_no_temperature_on_a_grid_is_closer_than_the_one_found():
    start = logprobs(0)
    after = (start / 0.6 + 0.5 * logprobs(1)).log_softmax(dim=-1)
    found = change(after, start)
    left = (1 - found.share) * found.kl
    for temperature in torch.linspace(0.1, 4, 200).tolist():
        tempered = (start / temperature).log_softmax(dim=-1)
        assert left <= change(after, tempered).kl + 1e-6
    assert 0.1 < found.share < 0.95


def test_a_policy_that_did_not_move_has_nothing_to_explain():
    found = change(logprobs(0), logprobs(0))
    assert (found.kl, found.temperature, found.share) == (pytest.approx(0.0, abs=1e-6), 1.0, 0.0)


def test_the_entropy_of_a_uniform_policy_is_that_of_its_tokens():
    uniform = torch.zeros(5, 8).log_softmax(dim=-1)
    assert entropy(uniform) == pytest.approx(torch.tensor(8.0).log().item())


def test_log_probabilities_are_the_policys_own_over_what_can_be_drawn():
    torch.manual_seed(0)
    ar = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=128), CODEBOOK).model
    vocabulary = Own(CODEBOOK)
    contexts = [vocabulary.context("one two", [1, 2, 3]), vocabulary.context("six", [4])]
    targets = [vocabulary.target([5, 6, 7]), vocabulary.target([8], False)]
    found = code_logprobs(ar, contexts, targets, vocabulary.drawable)
    assert found.shape == (5, CODEBOOK + 1)
    assert found.exp().sum(dim=-1).tolist() == pytest.approx([1.0] * 5)
    ids, labels = collate(contexts, targets)
    with torch.no_grad():
        logits = next_token_logits(ar, ids)
    drawable = torch.zeros(logits.shape[-1], dtype=torch.bool)
    drawable[[EOS, *range(FIRST_CODE, FIRST_CODE + CODEBOOK)]] = True
    masked = logits.masked_fill(~drawable, float("-inf"))
    scored = token_logprobs(masked, labels.clamp(min=EOS))[0][labels[0] >= 0]
    chosen = [5 + 1, 6 + 1, 7 + 1, 0]  # the end mark comes first
    assert [float(found[i, token]) for i, token in enumerate(chosen)] == pytest.approx(scored.tolist(), abs=1e-5)
