"""Small random causal language models of other architectures than the project's own."""

import torch
from transformers import (
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

SHAPE = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 16}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 16}

CONFIGS = {
    "llama, grouped heads, llama3 rotary": lambda: LlamaConfig(**SHAPE, **SPECIAL, rope_parameters=LLAMA3),
    "llama, yarn, wide heads": lambda: LlamaConfig(**SHAPE, **SPECIAL, rope_parameters=YARN, head_dim=12),
    "qwen2, tied": lambda: Qwen2Config(**SHAPE, **SPECIAL, tie_word_embeddings=True),
    "qwen2, sliding window": lambda: Qwen2Config(
        **SHAPE, **SPECIAL, use_sliding_window=True, sliding_window=9, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**SHAPE, **SPECIAL, head_dim=8),
    "mistral, sliding window": lambda: MistralConfig(**SHAPE, **SPECIAL, sliding_window=11),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, **SPECIAL, head_dim=8, sliding_window=8),
    "phi3": lambda: Phi3Config(**SHAPE, **SPECIAL),
    "gpt2": lambda: GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=256, **SPECIAL),
}


def causal(name: str, seed: int = 0) -> PreTrainedModel:
    """Return a random model of :data:`CONFIGS`, whose scores differ enough for a wrong one to show."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))  # biases and gains of their own
    return model
