"""Log-probabilities by parts of the scores against those of all scores, in value and in gradient."""

import copy

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from model.errors import InputError
from model.fast import chunked
from model.fast.onednn import use_onednn
from model.fast.shared_context import visible
from model.objectives.logprobs import IGNORE, label_logprobs, next_token_logits, token_logprobs
from tests.model.causal_models import CONFIGS, SHAPE, SPECIAL, causal


@pytest.fixture(autouse=True)
def few_scores(monkeypatch):
    """A vocabulary of 97 is large, and seven positions are held at once."""
    monkeypatch.setattr(chunked, "LARGE", 97)
    monkeypatch.setattr(chunked, "SCORES", 97 * 7)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, 97, (4, 13), generator=generator)
    labels = tokens.roll(-1, dims=1)
    labels[:, :4] = labels[2, 9:] = IGNORE
    return tokens, labels, torch.randn(4, 13, generator=generator)


def gradients(model, logprobs, weights):
    model.zero_grad()
    (logprobs * weights.to(logprobs.dtype)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def plain(model, tokens, labels):
    return token_logprobs(next_token_logits(model, tokens), labels)


@pytest.mark.parametrize("name", CONFIGS)
def test_values_and_gradients_equal_those_of_all_scores(name, batch):
    tokens, labels, weights = batch
    model = causal(name).double()
    assert chunked.output_layer(model) is model.get_output_embeddings()
    found, expected = label_logprobs(model, tokens, labels), plain(model, tokens, labels)
    torch.testing.assert_close(found, expected.double(), atol=1e-6, rtol=1e-6)
    assert (found[labels == IGNORE] == 0).all()
    by_parts = copy.deepcopy(gradients(model, found, weights))
    for parameter, gradient in gradients(model, plain(model, tokens, labels), weights).items():
        torch.testing.assert_close(by_parts[parameter], gradient, atol=1e-6, rtol=1e-5)


def test_a_frozen_model_with_a_trained_head_and_the_reverse(batch):
    tokens, labels, weights = batch
    model = causal("qwen3").double()
    for part, rest in ((model.lm_head, model.model), (model.model, model.lm_head)):
        rest.requires_grad_(False)
        part.requires_grad_()
        by_parts = copy.deepcopy(gradients(model, label_logprobs(model, tokens, labels), weights))
        for parameter, gradient in gradients(model, plain(model, tokens, labels), weights).items():
            assert (gradient is None) == (by_parts[parameter] is None)
            if gradient is not None:
                torch.testing.assert_close(by_parts[parameter], gradient, atol=1e-6, rtol=1e-5)


def test_narrow_weights_and_autocast_sum_in_float32(batch):
    tokens, labels, weights = batch
    exact = causal("qwen2, tied")
    expected = plain(exact, tokens, labels)
    narrow = copy.deepcopy(exact).to(torch.bfloat16)
    found = label_logprobs(narrow, tokens, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain(narrow, tokens, labels), atol=1e-5, rtol=1e-5)
    assert (gradients(narrow, found, weights)["model.embed_tokens.weight"]).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        cast = label_logprobs(exact, tokens, labels)
    torch.testing.assert_close(cast, expected, atol=0.3, rtol=0.1)
    assert not torch.equal(cast, expected) and gradients(exact, cast, weights)


def test_the_head_computes_scores_again_afterwards_and_after_an_error(batch):
    tokens, labels, _ = batch
    for model in (causal("qwen3"), use_onednn(causal("qwen3"))):
        before = model(tokens).logits
        label_logprobs(model, tokens, labels)
        assert torch.equal(model(tokens).logits, before)
        with pytest.raises(IndexError):
            label_logprobs(model, tokens, labels[:, :5])
        assert torch.equal(model(tokens).logits, before)


def test_scores_that_the_model_changes_afterwards_are_all_computed(batch):
    tokens, labels, _ = batch
    torch.manual_seed(0)
    config = Gemma2Config(**SHAPE, **SPECIAL, head_dim=8, final_logit_softcapping=3.0)
    model = Gemma2ForCausalLM(config).eval()
    assert chunked.output_layer(model) is None
    torch.testing.assert_close(label_logprobs(model, tokens, labels), plain(model, tokens, labels))


def test_a_small_vocabulary_is_computed_at_once(batch, monkeypatch):
    monkeypatch.setattr(chunked, "LARGE", 98)
    assert chunked.output_layer(causal("qwen3")) is None


def test_a_row_of_a_pair_that_is_longer_than_the_attention_window_is_refused(batch):
    tokens, labels, _ = batch
    side = torch.ones_like(tokens)
    with pytest.raises(InputError, match=r"attends to the last 11 tokens.* both sides of its pair has 13"):
        label_logprobs(causal("mistral, sliding window"), tokens, labels, visible=visible(side))
