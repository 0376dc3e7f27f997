"""Caches of keys and values, and a new token's attention over them.

Reading the cache is what sampling waits for: keys and values of a few dozen rows exceed the processor's caches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

GROWTH = 32  # positions to add when a cache is full: few copies, and little unused memory


class Cache:
    """Left-padded key/value cache: all rows end together, so a step appends one slice for all of them.

    ``layers`` holds one tensor ``(2, rows, heads, capacity, head width)`` per layer, filled up to ``end``.
    ``blocked (rows, 1, capacity)`` is minus infinity before a row's first position, else 0.
    """

    def __init__(self, layers: list[torch.Tensor], end: int):
        """Take ``layers``; the caller fills them up to ``end`` and calls :meth:`begin` for each row."""
        self.layers, self.end = layers, end
        self.blocked = layers[0].new_zeros(layers[0].shape[1], 1, layers[0].shape[3])

    def begin(self, rows: slice, position: int) -> None:
        """Block everything before ``position`` of these rows."""
        self.blocked[rows, :, :position] = float("-inf")
        for kv in self.layers:
            kv[:, rows, :, :position] = 0.0  # read with a weight of 0, so it must be a number

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order; rows that stay in place are not copied."""
        self.layers = [_kept(kv, rows, 1) for kv in self.layers]
        self.blocked = _kept(self.blocked, rows, 0)

    def grow(self) -> None:
        """Make room for another position."""
        if self.end == self.blocked.shape[-1]:
            self.blocked = F.pad(self.blocked, (0, GROWTH))
            _grow(self.layers)
        self.end += 1

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Store a token's key and value and attend to all up to it; all tensors ``(rows, heads, 1, head width)``."""
        rows, heads, end = len(q), q.shape[1], self.end
        keys, values = _put(self.layers[layer], k, v, end)
        # One query per row and head: two batched products, which read the cache faster than fused attention does.
        scores = torch.bmm(q.flatten(0, 1), keys.transpose(1, 2)).view(rows, heads, end)
        weights = torch.softmax(scores.add_(self.blocked[:, :, :end]), dim=-1)
        return torch.bmm(weights.view(-1, 1, end), values).view(q.shape)


class SharedCache:
    """Cache of rows that share contexts: each context is stored once and read once per step for all its rows.

    What was sampled after the context is each row's own. All rows began it together, so none of it is blocked.
    """

    def __init__(self, contexts: Cache, context: torch.Tensor):
        """Start after ``contexts``; ``context (rows,)`` is the index of each row's context."""
        self.contexts, self.end = contexts, 0
        self.layers = [kv.new_empty(2, len(context), kv.shape[2], GROWTH, kv.shape[4]) for kv in contexts.layers]
        self._place(context)

    def _place(self, context: torch.Tensor) -> None:
        """Give each row a cell in the grid contexts × rows per context."""
        self.context = context
        before = (context[:, None] == context).tril(-1).sum(1)  # earlier rows of the same context
        self.grid = (len(self.contexts.blocked), int(before.max()) + 1)
        self.cells = context * self.grid[1] + before

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order, and the contexts that they need."""
        self.layers = [_kept(kv, rows, 1) for kv in self.layers]
        left, context = self.context[rows].unique(return_inverse=True)
        if len(left) < self.grid[0]:
            self.contexts.keep(left)
        self._place(context)

    def grow(self) -> None:
        """Make room for another position."""
        if self.end == self.layers[0].shape[3]:
            _grow(self.layers)
        self.end += 1

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Store a token's key and value and attend to all up to it; all tensors ``(rows, heads, 1, head width)``."""
        rows, heads, length = len(q), q.shape[1], self.contexts.end
        own_keys, own_values = _put(self.layers[layer], k, v, self.end)
        keys, values = self.contexts.layers[layer][:, :, :, :length]
        blocked = self.contexts.blocked[:, None, :, :length]
        shared = self._from_grid(self._to_grid(q[:, :, 0]) @ keys.transpose(2, 3) + blocked)
        own = torch.bmm(q.flatten(0, 1), own_keys.transpose(1, 2)).view(rows, heads, self.end)
        weights = torch.softmax(torch.cat([shared, own], dim=-1), dim=-1)
        from_context = self._from_grid(self._to_grid(weights[:, :, :length]) @ values)
        from_own = torch.bmm(weights[:, :, length:].reshape(-1, 1, self.end), own_values).view(from_context.shape)
        return (from_context + from_own).unsqueeze(2)

    def _to_grid(self, x: torch.Tensor) -> torch.Tensor:
        """Arrange ``(rows, heads, n)`` as ``(contexts, heads, rows per context, n)``, with zeros in empty cells."""
        grid = x.new_zeros(self.grid[0] * self.grid[1], *x.shape[1:])
        grid[self.cells] = x
        return grid.unflatten(0, self.grid).transpose(1, 2)

    def _from_grid(self, grid: torch.Tensor) -> torch.Tensor:
        """Invert :meth:`_to_grid`."""
        return grid.transpose(1, 2).flatten(0, 1)[self.cells]


def _put(kv: torch.Tensor, k: torch.Tensor, v: torch.Tensor, end: int) -> list[torch.Tensor]:
    """Store the newest key and value; return all of them as ``(rows * heads, end, head width)``."""
    kv[0, :, :, end - 1 : end], kv[1, :, :, end - 1 : end] = k, v
    return [stored[:, :, :end].flatten(0, 1) for stored in kv]


def _kept(x: torch.Tensor, rows: torch.Tensor, axis: int) -> torch.Tensor:
    """Select ``rows`` along ``axis``, in the memory of ``x`` where they fit."""
    if len(rows) > x.shape[axis]:
        return x.index_select(axis, rows)
    moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
    if len(moved):
        x.index_copy_(axis, moved, x.index_select(axis, rows[moved]))
    return x.narrow(axis, 0, len(rows))


def _grow(layers: list[torch.Tensor]) -> None:
    """Enlarge every layer, one after the other, so that only one is held twice."""
    for i, kv in enumerate(layers):
        layers[i] = kv.new_empty(*kv.shape[:3], kv.shape[3] + GROWTH, kv.shape[4])
        layers[i][:, :, :, : kv.shape[3]] = kv
