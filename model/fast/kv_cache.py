"""Caches of keys and values, and a new token's attention over them.

Reading the cache is what sampling waits for: keys and values of a few dozen rows exceed the processor's caches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

GROWTH = 32  # positions to add when a cache is full: few copies, and little unused memory
FIXED_GROWTH = 64  # where shapes are fixed: what is added is read at once, but each new shape is recorded again


class _Growing:
    """Keys and values of rows that end together: a step appends one slice for all of them.

    ``layers`` holds one tensor ``(2, rows, heads, capacity, head width)`` per layer, filled up to ``end``.
    ``blocked (…, capacity)`` is minus infinity where nothing may be read, as from ``end`` on, else 0.
    """

    def __init__(self, layers: list[torch.Tensor], end: int, blocked: torch.Tensor):
        self.layers, self.end, self.blocked = layers, end, blocked
        self.place: torch.Tensor | None = None  # of the newest position ``(1,)``, where shapes are fixed

    def fix(self) -> None:
        """Let every step read all of the capacity, so that its shapes stay the same until the memory changes."""
        for kv in self.layers:
            kv[:, :, :, self.end :] = 0.0  # read with a weight of 0, so it must be a number
        self.place = torch.tensor([self.end - 1], device=self.blocked.device)

    def grow(self) -> bool:
        """Make room for another position; return whether that took other memory."""
        moved = self.end == self.blocked.shape[-1]
        if moved:
            more = GROWTH if self.place is None else FIXED_GROWTH
            self.blocked = F.pad(self.blocked, (0, more), value=float("-inf"))
            _grow(self.layers, more)
        self.end += 1
        self.blocked[..., self.end - 1] = 0.0
        if self.place is not None:
            self.place.fill_(self.end - 1)
        return moved

    def tensors(self) -> list[torch.Tensor]:
        """Return all memory that a step reads or writes."""
        return [*self.layers, self.blocked, *([] if self.place is None else [self.place])]

    def _put(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
        """Store the newest key and value; return all up to them as ``(rows * heads, length, head width)``.

        Where shapes are fixed, the length is the capacity.
        """
        kv, end = self.layers[layer], self.end
        if self.place is None:
            kv[0, :, :, end - 1 : end], kv[1, :, :, end - 1 : end] = k, v
        else:
            kv.index_copy_(3, self.place, torch.stack([k, v]))
        return [(stored[:, :, :end] if self.place is None else stored).flatten(0, 1) for stored in kv]


class Cache(_Growing):
    """Left-padded key/value cache. ``blocked (rows, 1, capacity)`` blocks what lies before a row's first position."""

    def __init__(self, layers: list[torch.Tensor], end: int):
        """Take ``layers``; the caller fills them up to ``end`` and calls :meth:`begin` for each row."""
        super().__init__(layers, end, layers[0].new_full((layers[0].shape[1], 1, layers[0].shape[3]), float("-inf")))

    def begin(self, rows: slice, position: int) -> None:
        """Block everything before ``position`` of these rows."""
        self.blocked[rows, :, position : self.end] = 0.0
        for kv in self.layers:
            kv[:, rows, :, :position] = 0.0  # read with a weight of 0, so it must be a number

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order; rows that stay in place are not copied."""
        self.layers = [_kept(kv, rows, 1) for kv in self.layers]
        self.blocked = _kept(self.blocked, rows, 0)

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Store a token's key and value and attend to all up to it; all tensors ``(rows, heads, 1, head width)``."""
        rows, heads = len(q), q.shape[1]
        keys, values = self._put(layer, k, v)
        length = keys.shape[1]
        # One query per row and head: two batched products, which read the cache faster than fused attention does.
        scores = torch.bmm(q.flatten(0, 1), keys.transpose(1, 2)).view(rows, heads, length)
        weights = torch.softmax(scores.add_(self.blocked[:, :, :length]), dim=-1)
        return torch.bmm(weights.view(-1, 1, length), values).view(q.shape)


class SharedCache(_Growing):
    """Cache of rows that share contexts: each context is stored once and read once per step for all its rows.

    What was sampled after the context is each row's own. All rows began it together, so ``blocked
    (capacity,)`` is one for all.
    """

    def __init__(self, contexts: Cache, context: torch.Tensor):
        """Start after ``contexts``; ``context (rows,)`` is the index of each row's context."""
        layers = [kv.new_empty(2, len(context), kv.shape[2], GROWTH, kv.shape[4]) for kv in contexts.layers]
        super().__init__(layers, 0, contexts.blocked.new_full((GROWTH,), float("-inf")))
        self.contexts = contexts
        self._arrange(context)

    def _arrange(self, context: torch.Tensor) -> None:
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
        self._arrange(context)

    def tensors(self) -> list[torch.Tensor]:
        """Return all memory that a step reads or writes."""
        return [*super().tensors(), self.cells, *self.contexts.tensors()]

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Store a token's key and value and attend to all up to it; all tensors ``(rows, heads, 1, head width)``."""
        rows, heads, length = len(q), q.shape[1], self.contexts.end
        own_keys, own_values = self._put(layer, k, v)
        newer = own_keys.shape[1]
        keys, values = self.contexts.layers[layer][:, :, :, :length]
        blocked = self.contexts.blocked[:, None, :, :length]
        shared = self._from_grid(self._to_grid(q[:, :, 0]) @ keys.transpose(2, 3) + blocked)
        own = torch.bmm(q.flatten(0, 1), own_keys.transpose(1, 2)).view(rows, heads, newer)
        own = own if self.place is None else own.add_(self.blocked)
        weights = torch.softmax(torch.cat([shared, own], dim=-1), dim=-1)
        from_context = self._from_grid(self._to_grid(weights[:, :, :length]) @ values)
        from_own = torch.bmm(weights[:, :, length:].reshape(-1, 1, newer), own_values).view(from_context.shape)
        return (from_context + from_own).unsqueeze(2)

    def _to_grid(self, x: torch.Tensor) -> torch.Tensor:
        """Arrange ``(rows, heads, n)`` as ``(contexts, heads, rows per context, n)``, with zeros in empty cells."""
        grid = x.new_zeros(self.grid[0] * self.grid[1], *x.shape[1:])
        grid[self.cells] = x
        return grid.unflatten(0, self.grid).transpose(1, 2)

    def _from_grid(self, grid: torch.Tensor) -> torch.Tensor:
        """Invert :meth:`_to_grid`."""
        return grid.transpose(1, 2).flatten(0, 1)[self.cells]


def _kept(x: torch.Tensor, rows: torch.Tensor, axis: int) -> torch.Tensor:
    """Select ``rows`` along ``axis``, in the memory of ``x`` where they fit."""
    if len(rows) > x.shape[axis]:
        return x.index_select(axis, rows)
    moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
    if len(moved):
        x.index_copy_(axis, moved, x.index_select(axis, rows[moved]))
    return x.narrow(axis, 0, len(rows))


def _grow(layers: list[torch.Tensor], more: int) -> None:
    """Enlarge every layer, one after the other, so that only one is held twice."""
    for i, kv in enumerate(layers):
        layers[i] = kv.new_empty(*kv.shape[:3], kv.shape[3] + more, kv.shape[4])
        layers[i][:, :, :, : kv.shape[3]] = kv
        layers[i][:, :, :, kv.shape[3] :] = 0.0
