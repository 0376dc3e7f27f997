"""Best-of-N: sample N times, keep the sample with the highest reward (SpeechAlign, arXiv 2404.05600, section 3.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from model.sampling import Request, Sampled


def draws_of(request: Request, n: int) -> list[Request]:
    """Return the request itself, then ``n - 1`` more with seeds derived from its own."""
    seeds = [int(np.random.SeedSequence([request.seed, i]).generate_state(1, np.uint64)[0] >> 2) for i in range(1, n)]
    return [request, *(replace(request, seed=seed) for seed in seeds)]


def best(draws: Sequence[Sampled], rewards: torch.Tensor) -> int:
    """Return the index of the highest of ``rewards (n,)`` among samples that ended and have frames, else among all."""
    usable = torch.tensor([s.finished and len(s.tokens) > 0 for s in draws])
    return int((rewards.masked_fill(~usable, -torch.inf) if usable.any() else rewards).argmax())


def reporting_utterances(n: int, on_done: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """Return a callback that reports one utterance to ``on_done`` per ``n`` draws; it may be called from any thread."""
    if on_done is None or n == 1:
        return on_done
    lock, drawn = threading.Lock(), 0

    def count(more: int) -> None:
        nonlocal drawn
        with lock:
            before, drawn = drawn // n, drawn + more
            on_done(drawn // n - before)

    return count
