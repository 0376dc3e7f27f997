"""A key/value layer for transformers' cache that is written in place: its own copies everything at every step."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from model.fast.kv_cache import GROWTH


class GrowingLayer(DynamicLayer):
    """``transformers.cache_utils.DynamicLayer`` with room for more positions than it holds."""

    is_initialized: bool
    stored: list[torch.Tensor]  # keys and values (rows, heads, capacity, head width)
    end: int  # how much of the capacity is filled

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append ``(rows, heads, new, head width)`` and return all keys and values: views of what is stored."""
        if not self.is_initialized:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.stored = [_with_room(states, 0) for states in (key_states, value_states)]
            self.end = 0
        begin, self.end = self.end, self.end + key_states.shape[-2]
        if self.end > self.stored[0].shape[-2]:
            self.stored = [_with_room(states[:, :, :begin], self.end - begin) for states in self.stored]
        for stored, states in zip(self.stored, (key_states, value_states), strict=True):
            stored[:, :, begin : self.end] = states
        self.keys, self.values = (stored[:, :, : self.end] for stored in self.stored)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows, in this order; a row may be repeated."""
        self.stored = [stored.index_select(0, indices) for stored in self.stored]
        self.keys, self.values = (stored[:, :, : self.end] for stored in self.stored)


def _with_room(states: torch.Tensor, new: int) -> torch.Tensor:
    """Return a copy with room for ``new`` positions and some more."""
    rows, heads, length, width = states.shape
    grown = states.new_empty(rows, heads, length + new + GROWTH, width)
    grown[:, :, :length] = states
    return grown
