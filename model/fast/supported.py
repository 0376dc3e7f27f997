"""What the fast forward pass assumes of a model. It reads weights, not modules, so anything else would go unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from model.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def unsupported(model: PreTrainedModel) -> list[str]:
    """Return why :class:`model.fast.decoder.Decoder` would compute a model wrongly: nothing if it would not.

    That is another architecture than Llama, grouped key/value heads, biases, heads of another width, another
    activation, or a rotary embedding that scales attention or depends on the length.
    """
    config = model.config
    if config.model_type != "llama":
        return [f"model_type {config.model_type!r} instead of 'llama'"]
    problems = []
    if config.num_key_value_heads != config.num_attention_heads:
        problems.append(f"{config.num_key_value_heads} key/value heads for {config.num_attention_heads} query heads")
    if getattr(config, "head_dim", None) not in (None, config.hidden_size // config.num_attention_heads):
        problems.append(f"heads of width {config.head_dim}")
    if config.hidden_act != "silu":
        problems.append(f"activation {config.hidden_act!r} instead of 'silu'")
    if biased := [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m.bias is not None]:
        problems.append(f"biases ({biased[0]})")
    rotary = getattr(getattr(model, "model", None), "rotary_emb", None)
    kind = getattr(rotary, "rope_type", "default")
    if getattr(rotary, "attention_scaling", 1.0) != 1.0 or kind in ("dynamic", "longrope"):
        problems.append(f"rotary embedding {kind!r}")
    return problems


def check_supported(model: PreTrainedModel) -> None:
    """Refuse a model that :class:`model.fast.decoder.Decoder` would compute wrongly.

    Raises:
        InputError: with the reasons of :func:`unsupported`.
    """
    if problems := unsupported(model):
        raise InputError(
            f"the fast sampler computes a plain Llama, and this model has {'; '.join(problems)}; sample it by "
            "model.forward.CausalForward"
        )
