"""Steps of the sampler recorded as CUDA graphs: one launch instead of hundreds.

At each step of a small policy a GPU waits for the processor, which launches some twenty kernels per layer and forty to
draw. A graph holds the launches of a function and repeats them on the same memory. So its shapes are fixed
(:meth:`model.fast.kv_cache.Cache.fix`), and it is recorded again when the cache takes other memory or rows leave.

On a CPU the same code runs without a graph, for tests. Nothing here has run on a GPU yet, so each recording is compared
once with the function itself; where that fails, or cannot be recorded, the sampler goes on without.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from model.drawing import Drawer
from model.fast.decoder import Decoder
from model.fast.kv_cache import Cache, SharedCache

SWITCH = "SPEECHALIGN_CUDA_GRAPHS"  # an environment variable; 0: no recording
TOLERANCE = 1e-2  # of what a recording gives, compared with the function: both launch the same kernels
Tensors = tuple[torch.Tensor, ...]


def is_on(device: torch.device) -> bool:
    """Say whether steps are recorded on a device: on CUDA, unless :data:`SWITCH` is 0."""
    return device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"


class Recording:
    """A function of tensors with its launches recorded; calls give the same tensors again, with new values.

    Args:
        function: of tensors only. It may write to ``held``, with the same result when it is called twice.
        given: its first arguments, whose shapes all later ones have.
        held: all other memory that it uses, which lives as long as the recording.

    Raises:
        RuntimeError: the launches cannot be recorded, or their repetition gives other numbers.
    """

    def __init__(self, function: Callable[..., Tensors], given: Tensors, held: list[torch.Tensor]):
        self.function, self.given, self.held = function, tuple(x.clone() for x in given), held
        self.replay: Callable[[], None]
        if self.given[0].device.type != "cuda":
            self.found, self.replay = function(*self.given), self._compute
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            expected = [x.clone() for x in function(*self.given)]
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(side):  # torch.cuda.graph would empty the allocator's cache first, each time
            graph.capture_begin(capture_error_mode="thread_local")  # other threads may write a state meanwhile
            try:
                self.found = function(*self.given)
            finally:
                graph.capture_end()
        self.replay = graph.replay
        self.replay()
        for found, wanted in zip(self.found, expected, strict=True):
            if not torch.allclose(found.float(), wanted.float(), TOLERANCE, TOLERANCE, equal_nan=True):
                raise RuntimeError("a recorded step gives other numbers than the step itself")

    def __call__(self, *given: torch.Tensor) -> Tensors:
        """Return the function's results for ``given``, in memory that the next call overwrites."""
        for own, other in zip(self.given, given, strict=True):
            own.copy_(other)
        self.replay()
        return self.found

    def finish(self) -> None:
        """Wait until what was launched has ended, before the recording is dropped."""
        if self.given[0].device.type == "cuda":
            torch.cuda.current_stream().synchronize()

    def _compute(self) -> None:
        for own, other in zip(self.found, self.function(*self.given), strict=True):
            own.copy_(other)


class RecordedDecoder:
    """A :class:`Decoder` whose steps are recorded."""

    def __init__(self, decoder: Decoder):
        self.decoder, self.device, self.max_positions = decoder, decoder.device, decoder.max_positions

    def prefill(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, RecordedCache]:
        """Return :meth:`Decoder.prefill`'s logits, and its cache with fixed shapes."""
        logits, cache = self.decoder.prefill(contexts)
        cache.fix()
        return logits, RecordedCache(cache)

    def step(self, ids: torch.Tensor, positions: torch.Tensor, cache: RecordedCache) -> torch.Tensor:
        """Return :meth:`Decoder.step`'s logits, in memory that the next step overwrites."""
        if cache.own.grow():
            cache.forget()
        if cache.recording is None and not cache.plain:
            cache.record(partial(self._newest, cache.own), ids, positions)
        if cache.recording is None:
            return self.decoder.newest(ids, positions, cache.own)
        return cache.recording(ids, positions)[0]

    def _newest(self, cache: Cache | SharedCache, ids: torch.Tensor, positions: torch.Tensor) -> Tensors:
        return (self.decoder.newest(ids, positions, cache),)


class RecordedCache:
    """A cache of fixed shapes, and the recording of a step on its present memory."""

    def __init__(self, own: Cache | SharedCache):
        self.own, self.plain = own, False
        self.recording: Recording | None = None

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order."""
        self.forget()
        self.own.keep(rows)

    def forget(self) -> None:
        """Drop the recording: the memory is to change."""
        if self.recording is not None:
            self.recording.finish()
        self.recording = None

    def record(self, function: Callable[..., Tensors], ids: torch.Tensor, positions: torch.Tensor) -> None:
        """Record a step, or warn that it cannot be and never try again."""
        with _any_order():
            self.recording = recorded(function, (ids, positions), self.own.tensors())
        self.plain = self.recording is None


class RecordedDrawer:
    """A :class:`Drawer` whose draws are recorded for each number of rows, but for the first and penalized ones."""

    def __init__(self, drawer: Drawer):
        self.drawer, self.silent, self.plain = drawer, drawer.silent, False
        self.begin, self.after, self.first_penalized = drawer.begin, drawer.after, drawer.first_penalized
        self.recording: Recording | None = None

    def draw(
        self,
        logits: torch.Tensor,
        uniform: torch.Tensor,
        recent: torch.Tensor,
        first: bool,
        states: torch.Tensor | None = None,
    ) -> Tensors:
        """Return what :meth:`Drawer.draw` returns, in memory that the next draw overwrites."""
        given = (logits, uniform) if states is None else (logits, uniform, states)
        may_record = not first and not recent.shape[1] and not self.plain
        if self.recording is not None and self.recording.given[0].shape != logits.shape:
            self.recording.finish()
            self.recording = None
        if self.recording is None and may_record:
            self.recording = recorded(partial(self._draw, recent), given, [recent])
            self.plain = self.recording is None
        if self.recording is None or not may_record:
            return self.drawer.draw(logits, uniform, recent, first, states)
        return self.recording(*given)

    def _draw(
        self, recent: torch.Tensor, logits: torch.Tensor, uniform: torch.Tensor, *states: torch.Tensor
    ) -> Tensors:
        return self.drawer.draw(logits, uniform, recent, False, *states)


def recorded(function: Callable[..., Tensors], given: Tensors, held: list[torch.Tensor]) -> Recording | None:
    """Return a recording of ``function``, or None with a warning where there can be none."""
    try:
        return Recording(function, given, held)
    except RuntimeError as error:
        warnings.warn(
            f"the sampler's steps could not be recorded as CUDA graphs ({str(error).splitlines()[0]}); it goes on "
            f"without, and slower. {SWITCH}=0 does not try",
            stacklevel=2,
        )
        return None


@contextmanager
def _any_order() -> Iterator[None]:
    """Let PyTorch take its quick way to store a step's keys: each has a place of its own, so no order counts.

    Its deterministic way sorts the places first, with a dozen launches per layer.
    """
    before: Any = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
