"""Forward pass of any causal language model for sampling: transformers' own, with a key/value cache.

The twin of :class:`model.fast.decoder.Decoder`, which computes plain Llamas faster.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from model.errors import InputError
from model.fast.growing import GrowingLayer

ATTENTION = (DynamicLayer, DynamicSlidingWindowLayer)
NO_LIMIT = 1 << 31  # positions of a model that states none


class Forward(Protocol):
    """Forward pass for sampling: of the contexts first, then of one more token per row at a time."""

    device: torch.device
    max_positions: int

    def prefill(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, Any]:
        """Return logits ``(rows, vocabulary)`` after each context, and a cache whose ``keep(rows)`` selects rows."""

    def step(self, ids: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        """Return logits ``(rows, vocabulary)`` after one more token per row, at ``positions (rows,)``."""


class RowCache:
    """transformers' cache of left-padded rows, which all end together, and ``real (rows, length)``: 0 at padding.

    ``padded`` says whether there is any: known here, so that no step has to ask the GPU.
    """

    def __init__(self, model: PreTrainedModel, real: torch.Tensor):
        cache = DynamicCache(config=model.config)
        if wrong := {type(layer).__name__ for layer in cache.layers if type(layer) not in ATTENTION}:
            raise InputError(
                f"{type(model).__name__} keeps {', '.join(sorted(wrong))}, where padding would count; expected a "
                "policy of attention layers only, such as Llama or Qwen2"
            )
        cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
        self.cache, self.real, self.padded = cache, real, not bool(real.all())

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order; a row may be repeated."""
        self.cache.batch_select_indices(rows)
        self.real = self.real[rows]
        self.padded = self.padded and not bool(self.real.all())


class CausalForward:
    """Forward pass of a policy of any architecture with its present weights.

    Raises:
        InputError: a model whose positions cannot be given, so that left padding would shift them, or whose layers
            are no attention.
    """

    def __init__(self, model: PreTrainedModel):
        taken = inspect.signature(model.forward).parameters
        if missing := [name for name in ("attention_mask", "position_ids", "past_key_values") if name not in taken]:
            raise InputError(
                f"{type(model).__name__} takes no {', '.join(missing)}, so batches of it cannot be sampled"
            )
        self.model, self.device, self.max_positions = model, model.device, position_limit(model)
        # Only the last position's scores are needed: all of them would be length × vocabulary numbers per row.
        self.last_only: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}

    def prefill(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, RowCache]:
        """Return logits ``(rows, vocabulary)`` after each context, and the cache. Equal contexts are computed once."""
        place = {context: i for i, context in enumerate(dict.fromkeys(contexts))}
        longest = max(map(len, place))
        ids = torch.tensor([[0] * (longest - len(c)) + list(c) for c in place], device=self.device)
        real = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in place], device=self.device)
        cache = RowCache(self.model, real)
        logits = self._forward(ids, (real.cumsum(dim=1) - 1).clamp(min=0), cache)
        if len(place) == len(contexts):
            return logits, cache
        rows = torch.tensor([place[context] for context in contexts], device=self.device)
        cache.keep(rows)
        return logits[rows], cache

    def step(self, ids: torch.Tensor, positions: torch.Tensor, cache: RowCache) -> torch.Tensor:
        """Return logits ``(rows, vocabulary)`` after one more token per row, at ``positions (rows,)``."""
        cache.real = torch.cat([cache.real, cache.real.new_ones(len(ids), 1)], dim=1)
        return self._forward(ids[:, None], positions[:, None], cache)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, cache: RowCache) -> torch.Tensor:
        out = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=cache.real if cache.padded else None,
            past_key_values=cache.cache,
            use_cache=True,
            **self.last_only,
        )
        return out.logits[:, -1]


def position_limit(model: PreTrainedModel) -> int:
    """Return how many positions a sequence may have.

    A rotary embedding that changes with the length (``longrope``, ``dynamic``) would turn cached keys and new ones by
    different angles past its original length, so that is its limit here.
    """
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None) or NO_LIMIT
    rotary = getattr(config, "rope_parameters", None) or {}
    for rope in [rotary] if "rope_type" in rotary else rotary.values():  # one, or one per type of layer
        if rope.get("rope_type") in ("longrope", "dynamic"):
            limit = min(limit, rope.get("original_max_position_embeddings") or limit)
    return limit
