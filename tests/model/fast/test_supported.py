"""Models that the fast forward pass would compute wrongly are refused, and the others equal transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from model.errors import InputError
from model.fast.decoder import Decoder

SHAPE = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64}
CONTEXT = (1, 9, 40, 63, 7)


def llama(**changes):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**(SHAPE | changes))).eval()


YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 16}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: llama(num_key_value_heads=2), "2 key/value heads for 4 query heads"),
        (lambda: llama(attention_bias=True), r"biases \(model\.layers\.0\.self_attn\.q_proj\)"),
        (lambda: llama(mlp_bias=True), r"biases \(model\.layers\.0\.mlp\.gate_proj\)"),
        (lambda: llama(head_dim=8), "heads of width 8"),
        (lambda: llama(hidden_act="gelu"), "activation 'gelu' instead of 'silu'"),
        (lambda: llama(rope_parameters=YARN), "rotary embedding 'yarn'"),
        (lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)), r"model_type 'qwen2' instead of 'llama'; sample"),
    ],
)
def test_a_model_that_would_be_computed_wrongly_is_refused(model, message):
    with pytest.raises(InputError, match=f"the fast sampler computes a plain Llama, .*{message}.*CausalForward"):
        Decoder(model())


LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 16}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": True}, {"rope_parameters": LLAMA3}])
def test_tied_embeddings_and_scaled_frequencies_equal_transformers(changes):
    model = llama(**changes)
    with torch.inference_mode():
        logits, _ = Decoder(model).prefill([CONTEXT])
        expected = model(torch.tensor([CONTEXT])).logits[:, -1]
    torch.testing.assert_close(logits.float(), expected, atol=1e-4, rtol=1e-3)
