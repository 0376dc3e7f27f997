"""A causal language model of any architecture is sampled as transformers computes it."""

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MambaConfig,
    MambaForCausalLM,
    MinPLogitsWarper,
    Phi3Config,
    Phi3ForCausalLM,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from model.drawable import Drawable
from model.errors import InputError
from model.forward import CausalForward, position_limit
from model.sampling import Decoding, Request, sample
from tests.model.causal_models import CONFIGS, SHAPE, SPECIAL, causal

DRAWABLE = Drawable(range(40, 97), (2, 5))


def requests(n=9):
    rng = np.random.default_rng(3)
    contexts = [tuple(rng.integers(3, 97, rng.integers(1, 20)).tolist()) for _ in range(n - 1)]
    contexts.append(contexts[0])
    return [Request(context, int(rng.integers(5, 24)), seed) for seed, context in enumerate(contexts)]


@pytest.mark.parametrize("name", CONFIGS)
def test_samples_equal_a_teacher_forced_pass_and_do_not_depend_on_neighbors(name):
    model = causal(name)
    asked = requests()
    together = sample(model, asked, Decoding(), DRAWABLE, 9)
    assert any(len(s.tokens) > 12 for s in together) and any(s.finished for s in together)
    for request, sampled in zip(asked, together, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*request.context, *sampled.target]])).logits[0, len(request.context) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(sampled.target)[:, None])[:, 0]
        torch.testing.assert_close(torch.from_numpy(sampled.logprobs), expected, atol=1e-4, rtol=1e-4)
    alone = sample(model, asked[:3], Decoding(), DRAWABLE, 1)
    assert all(np.array_equal(a.tokens, b.tokens) and a.stop == b.stop for a, b in zip(together, alone, strict=False))


def test_first_tokens_follow_transformers_distribution():
    """Many seeds against generate's own scores after its processors (chi-square)."""
    model, context, n = causal("qwen2, tied"), (4, 60, 61, 7, 60), 6000
    decoding = Decoding(0.8, top_k=30, top_p=0.9, min_p=0.02, repetition_penalty=1.3)
    out = model.generate(
        torch.tensor([context]), do_sample=True, max_new_tokens=1, temperature=0.8, top_k=30, top_p=0.9, min_p=0.02,
        repetition_penalty=1.3, suppress_tokens=list(range(40)), output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    expected = n * out.scores[0][0].softmax(-1).numpy()
    drawn = sample(model, [Request(context, 1, seed) for seed in range(n)], decoding, DRAWABLE, 1000)
    counts = np.bincount([s.tokens[0] for s in drawn], minlength=97)
    assert not counts[expected == 0].any()
    found = expected > 0
    chi2 = ((counts[found] - expected[found]) ** 2 / expected[found]).sum()
    assert 3 < found.sum() < 30 and chi2 < found.sum() - 1 + 4 * np.sqrt(2 * (found.sum() - 1))


@pytest.mark.parametrize("window", [0, 6])
def test_behavior_equals_transformers_processors_at_every_step(window):

    model = causal("llama, grouped heads, llama3 rotary")
    decoding = Decoding(0.7, 20, 0.9, min_p=0.01, repetition_penalty=1.2, repetition_window=window)
    warpers = LogitsProcessorList(
        [TemperatureLogitsWarper(0.7), TopKLogitsWarper(20), TopPLogitsWarper(0.9), MinPLogitsWarper(0.01)]
    )
    for request, sampled in zip(requests(6), sample(model, requests(6), decoding, DRAWABLE, 6), strict=True):
        ids = torch.tensor([[*request.context, *sampled.target]])
        with torch.no_grad():
            logits = model(ids).logits[0]
        for step, token in enumerate(sampled.target):
            end = len(request.context) + step
            before = ids[:, max(0, end - window) if window else 0 : end]
            scores = RepetitionPenaltyLogitsProcessor(1.2)(before, logits[None, end - 1])
            allowed = torch.full_like(scores, -torch.inf)
            allowed[:, 40:] = 0
            allowed[:, [2, 5]] = -torch.inf if step == 0 else 0
            expected = warpers(before, scores + allowed).log_softmax(-1)[0, token]
            assert abs(float(expected) - sampled.behavior[step]) < 1e-3


def test_a_large_vocabulary_makes_no_scores_but_those_of_the_last_position():
    torch.manual_seed(0)
    config = CONFIGS["qwen2, tied"]()
    config.vocab_size = 151_936
    model = type(causal("qwen2, tied"))(config).eval()
    seen = []
    model.lm_head.register_forward_hook(lambda _module, _args, out: seen.append(out.shape))
    codes = Drawable(range(86_000, 151_500), (151_645,))
    drawn = sample(model, [Request((9,) * n, 3, n) for n in (3, 40)], Decoding(top_k=50), codes)
    assert all(set(s.tokens.tolist()) <= set(codes.codes) for s in drawn)
    assert {shape[:2] for shape in seen} == {(2, 1)}


def test_layers_that_padding_would_change_are_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=97, hidden_size=16, num_hidden_layers=1, state_size=4)).eval()
    with pytest.raises(InputError, match="MambaForCausalLM takes no position_ids"):
        sample(model, requests(4), Decoding(), DRAWABLE)


def test_a_rotary_embedding_that_changes_with_the_length_ends_where_it_changes():
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32, "factor": 8.0}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    config = Phi3Config(**SHAPE, **SPECIAL, rope_parameters=rope, original_max_position_embeddings=32)
    model = Phi3ForCausalLM(config).eval()
    assert position_limit(model) == 32
    with pytest.raises(InputError, match="exceed the model's 32 positions"):
        sample(model, [Request((4,) * 30, 10, 0)], Decoding(), DRAWABLE)


@torch.inference_mode()
def test_a_row_may_be_kept_twice_and_past_the_first_growth():
    model = causal("qwen3")
    ids = torch.randint(3, 97, (3, 120), generator=torch.Generator().manual_seed(0))
    forward = CausalForward(model)
    logits, cache = forward.prefill([tuple(row[:n].tolist()) for row, n in zip(ids, (4, 9, 6), strict=True)])
    lengths, expected, rows = torch.tensor([4, 9, 6]), model(ids).logits, torch.arange(3)
    for step in range(80):
        torch.testing.assert_close(logits, expected[rows, lengths - 1 + step], atol=1e-4, rtol=1e-4)
        if step == 40:
            cache.keep(torch.tensor([2, 2, 0]))
            ids, expected, lengths = ids[[2, 2, 0]], expected[[2, 2, 0]], lengths[[2, 2, 0]]
        logits = forward.step(ids[rows, lengths + step], lengths + step, cache)
