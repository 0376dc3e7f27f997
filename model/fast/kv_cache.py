"""Keys and values of what a batch has read, and a new token's attention to them.

Reading them is what sampling waits for: those of a few dozen rows exceed the processor's caches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

GROWTH = 32  # positions that a cache grows by when it is full: a copy now and then, and little that lies unused


class Cache:
    """Of rows that end together: shorter ones begin with positions that nothing attends to.

    So a step appends one slice for all rows. ``layers``: ``(2, rows, heads, capacity, head width)`` each, of which
    ``end`` positions are filled; ``blocked (rows, 1, capacity)``: minus infinity where a row has not begun, else 0.
    """

    def __init__(self, layers: list[torch.Tensor], end: int):
        """``layers`` are filled up to ``end`` by the caller, who says by :meth:`begin` where a row begins."""
        self.layers, self.end = layers, end
        self.blocked = layers[0].new_zeros(layers[0].shape[1], 1, layers[0].shape[3])

    def begin(self, rows: slice, position: int) -> None:
        """Nothing will attend to what these rows hold before ``position``."""
        self.blocked[rows, :, :position] = float("-inf")
        for kv in self.layers:
            kv[:, rows, :, :position] = 0.0  # read as well, with a weight of 0: it must be a number

    def keep(self, rows: torch.Tensor) -> None:
        """Leave only these rows, in this order; those that stay where they are cost nothing."""
        self.layers = [_kept(kv, rows, 1) for kv in self.layers]
        self.blocked = _kept(self.blocked, rows, 0)

    def grow(self) -> None:
        """Make room for another position."""
        if self.end == self.blocked.shape[-1]:
            self.blocked = F.pad(self.blocked, (0, GROWTH))
            _grow(self.layers)
        self.end += 1

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Put away a token's key and value, and attend to all up to it; all ``(rows, heads, 1, head width)``."""
        rows, heads, end = len(q), q.shape[1], self.end
        keys, values = _put(self.layers[layer], k, v, end)
        # One query a row and head: two batched products, which read the cache faster than fused attention does.
        scores = torch.bmm(q.flatten(0, 1), keys.transpose(1, 2)).view(rows, heads, end)
        weights = torch.softmax(scores.add_(self.blocked[:, :, :end]), dim=-1)
        return torch.bmm(weights.view(-1, 1, end), values).view(q.shape)


class SharedCache:
    """Of rows whose contexts are fewer than they are: each context is held once and read once a step for all its rows.

    What a row has said since is its own. All rows began to say it together, so nothing of it is blocked.
    """

    def __init__(self, contexts: Cache, context: torch.Tensor):
        """``context (rows,)``: which of ``contexts`` each row goes on from."""
        self.contexts, self.end = contexts, 0
        self.layers = [kv.new_empty(2, len(context), kv.shape[2], GROWTH, kv.shape[4]) for kv in contexts.layers]
        self._seat(context)

    def _seat(self, context: torch.Tensor) -> None:
        """Give each row a seat in the grid contexts × seats, in which the rows of a context are side by side."""
        self.context = context
        before = (context[:, None] == context).tril(-1).sum(1)  # rows of the same context that come first
        self.grid = (len(self.contexts.blocked), int(before.max()) + 1)
        self.seats = context * self.grid[1] + before

    def keep(self, rows: torch.Tensor) -> None:
        """Leave only these rows, in this order, and the contexts that they go on from."""
        self.layers = [_kept(kv, rows, 1) for kv in self.layers]
        left, context = self.context[rows].unique(return_inverse=True)
        if len(left) < self.grid[0]:
            self.contexts.keep(left)
        self._seat(context)

    def grow(self) -> None:
        """Make room for another position."""
        if self.end == self.layers[0].shape[3]:
            _grow(self.layers)
        self.end += 1

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Put away a token's key and value, and attend to all up to it; all ``(rows, heads, 1, head width)``."""
        rows, heads, read = len(q), q.shape[1], self.contexts.end
        own_keys, own_values = _put(self.layers[layer], k, v, self.end)
        keys, values = self.contexts.layers[layer][:, :, :, :read]
        shared = self._stand(self._sit(q[:, :, 0]) @ keys.transpose(2, 3) + self.contexts.blocked[:, None, :, :read])
        own = torch.bmm(q.flatten(0, 1), own_keys.transpose(1, 2)).view(rows, heads, self.end)
        weights = torch.softmax(torch.cat([shared, own], dim=-1), dim=-1)
        heard = self._stand(self._sit(weights[:, :, :read]) @ values)
        said = torch.bmm(weights[:, :, read:].reshape(-1, 1, self.end), own_values).view(heard.shape)
        return (heard + said).unsqueeze(2)

    def _sit(self, x: torch.Tensor) -> torch.Tensor:
        """``(contexts, heads, seats, n)`` of ``(rows, heads, n)``; zeros where nobody sits."""
        grid = x.new_zeros(self.grid[0] * self.grid[1], *x.shape[1:])
        grid[self.seats] = x
        return grid.unflatten(0, self.grid).transpose(1, 2)

    def _stand(self, grid: torch.Tensor) -> torch.Tensor:
        """:meth:`_sit` undone."""
        return grid.transpose(1, 2).flatten(0, 1)[self.seats]


def _put(kv: torch.Tensor, k: torch.Tensor, v: torch.Tensor, end: int) -> list[torch.Tensor]:
    """Keys and values ``(rows * heads, end, head width)``, the last of them new."""
    kv[0, :, :, end - 1 : end], kv[1, :, :, end - 1 : end] = k, v
    return [held[:, :, :end].flatten(0, 1) for held in kv]


def _kept(x: torch.Tensor, rows: torch.Tensor, axis: int) -> torch.Tensor:
    """These of the ``axis``, in the memory of ``x`` where they fit."""
    if len(rows) > x.shape[axis]:
        return x.index_select(axis, rows)
    moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
    if len(moved):
        x.index_copy_(axis, moved, x.index_select(axis, rows[moved]))
    return x.narrow(axis, 0, len(rows))


def _grow(layers: list[torch.Tensor]) -> None:
    """Room for more positions in every layer, one after the other: only one is held twice."""
    for i, kv in enumerate(layers):
        layers[i] = kv.new_empty(*kv.shape[:3], kv.shape[3] + GROWTH, kv.shape[4])
        layers[i][:, :, :, : kv.shape[3]] = kv
