"""Batched sampling of any causal language model.

``generate`` of ``transformers`` carries every row to the end of the longest. Here finished rows leave the batch.
:mod:`model.fast.decoder` computes the forward pass of a plain Llama, :mod:`model.forward` that of others. Each row
draws from its own seeded generator, so a sample depends on its own seed and context only, never on its neighbors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.drawable import Drawable
from model.drawing import Decoding, Drawer
from model.errors import InputError
from model.fast.decoder import Decoder
from model.fast.parallel import parallel_map
from model.fast.supported import unsupported
from model.frames.adapter import adapter_of
from model.stuck import is_stuck

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from model.forward import Forward

__all__ = ["Decoding", "Drawable", "Request", "Sampled", "sample"]

# Finished rows leave a batch in groups of this size: oneDNN compiles a kernel for each new number of rows, which takes
# as long as a step.
ROWS_LEAVE = 8

# A GPU runs ahead of the processor that tells it what to do. Asking it which rows have finished makes it wait, so it is
# asked once in so many steps; what finished rows draw until then is left out. On a CPU asking costs nothing.
CHECK_EVERY = {"cpu": 1, "cuda": 16}


@dataclass(frozen=True)
class Request:
    """One utterance to sample: token ids of the context, a limit of tokens and a seed."""

    context: tuple[int, ...]
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Sampled:
    """A sample in the policy's token ids, and two log-probabilities of each token and of the stop, if there is one.

    ``logprobs`` are the policy's own (temperature 1, whole vocabulary), as a teacher-forced pass gives them.
    ``behavior`` are those of the distribution that was drawn from: drawable tokens only, decoding applied.
    """

    tokens: np.ndarray  # int32 (tokens,), without the stop
    logprobs: np.ndarray  # float32 (tokens + 1 if finished else tokens,)
    behavior: np.ndarray  # float32, likewise
    finished: bool
    stop: int | None  # the token that ended it; None if it was cut off
    stuck: bool = False  # in a loop or silent (model.stuck), after all redraws
    redrawn: int = 0  # how often it was drawn again because it was stuck

    @property
    def target(self) -> list[int]:
        """Token ids with the stop, if there is one: what the log-probabilities belong to."""
        return self.tokens.tolist() if self.stop is None else [*self.tokens.tolist(), self.stop]


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    requests: Sequence[Request],
    decoding: Decoding,
    drawable: Drawable,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
) -> list[Sampled]:
    """Sample every request and return the results in the order given.

    Batches of at most ``batch_size`` are formed by context: similar contexts share a pass, and equal ones are computed
    once. All are of one size, so that none is small. Only what is drawable can be drawn in its place, and a code comes
    first. What is stuck is drawn again with seeds that follow from its own (``decoding.redraw_stuck``).

    Raises:
        InputError: a context that leaves no room below the model's position limit, a decoding that is out of its
            bounds, or log-probabilities that are not finite.
    """
    decoding.check()
    frames = adapter_of(model)
    if frames is None:
        once = _of_one_stream(model, requests, decoding, drawable, batch_size)
    else:
        once = partial(frames.sample_once, decoding=decoding, drawable=drawable, batch_size=batch_size)
    found = once(requests, on_done=on_done)
    for attempt in range(1, decoding.redraw_stuck + 1):
        stuck = [i for i, sampled in enumerate(found) if sampled.stuck]
        again = [replace(requests[i], seed=_seed_of(requests[i].seed, attempt)) for i in stuck]
        for i, sampled in zip(stuck, once(again, on_done=None), strict=True):
            found[i] = replace(sampled, redrawn=attempt)
    return found


def _seed_of(seed: int, attempt: int) -> int:
    """Return the seed of a redraw: no other draw's, and a function of the request alone."""
    return int(np.random.SeedSequence([seed, attempt, 0x57C]).generate_state(1, np.uint64)[0] >> 2)


def _of_one_stream(
    model: PreTrainedModel, requests: Sequence[Request], decoding: Decoding, drawable: Drawable, batch_size: int
) -> Callable[..., list[Sampled]]:
    """Return what samples requests once, after a check that these have room."""
    from model.forward import CausalForward, position_limit  # transformers, for which who samples nothing need not wait

    limit = position_limit(model)
    for request in requests:
        if len(request.context) + request.max_tokens > limit:
            raise InputError(
                f"a context of {len(request.context)} tokens and up to {request.max_tokens} more exceed the model's "
                f"{limit} positions; shorten the text or take a policy with more positions (ar.max_positions)"
            )
    decoder: Forward = CausalForward(model) if unsupported(model) else Decoder(model)
    drawer = Drawer(drawable, decoding, decoder.device)
    return partial(_sample_once, decoder, drawer, batch_size=batch_size)


def _sample_once(
    decoder: Forward,
    drawer: Drawer,
    requests: Sequence[Request],
    batch_size: int,
    on_done: Callable[[int], None] | None,
) -> list[Sampled]:
    order = sorted(range(len(requests)), key=lambda i: by_context(requests[i]))
    batches = [part.tolist() for part in np.array_split(order, -(-len(order) // batch_size))] if order else []

    def one(_worker: int, chosen: list[int]) -> list[Sampled]:
        with torch.inference_mode():  # a property of the thread
            sampled = _batch(decoder, drawer, [requests[i] for i in chosen])
        if on_done:
            on_done(len(chosen))
        return sampled

    parts = parallel_map(one, batches, decoder.device.type)
    place = {
        index: sampled
        for chosen, part in zip(batches, parts, strict=True)
        for index, sampled in zip(chosen, part, strict=True)
    }
    return [place[i] for i in range(len(requests))]


def by_context(request: Request) -> tuple[int, tuple[int, ...]]:
    """Return what requests are sorted by before they are cut into batches: long contexts first."""
    return -len(request.context), request.context


def _batch(decoder: Forward, drawer: Drawer, requests: list[Request]) -> list[Sampled]:
    device = decoder.device
    every = CHECK_EVERY.get(device.type, 1)
    most = max(r.max_tokens for r in requests) + 1  # draws: after the last allowed token only a stop counts
    limits = torch.tensor([r.max_tokens for r in requests], device=device)
    # Uniform draws of each request's own generator, made up front: inverse-CDF sampling then needs no loop over rows.
    uniforms = torch.from_numpy(np.stack([np.random.default_rng(r.seed).random(most) for r in requests])).to(device)
    logits, cache = decoder.prefill([r.context for r in requests])

    longest = max(len(r.context) for r in requests)
    # Contexts and what follows. A context is left-padded with its own first token, which is in it anyway.
    written = torch.tensor([[r.context[0]] * (longest - len(r.context)) + list(r.context) for r in requests])
    written = torch.cat([written, torch.zeros(len(requests), most, dtype=torch.long)], dim=1).to(device)
    tokens = written[:, longest:]
    logprobs, behavior = torch.zeros(2, len(requests), most, device=device)
    stops = torch.full((len(requests),), most, device=device)  # step of each request's first stop; most: none yet
    rows = torch.arange(len(requests), device=device)  # request of each row of the batch
    positions = torch.tensor([len(r.context) for r in requests], device=device)
    states = drawer.begin(len(requests))
    for step in range(most):
        recent = written[rows, drawer.first_penalized(longest + step) : longest + step]
        drawn, ended, own, of_draw = drawer.draw(logits, uniforms[rows, step], recent, step == 0, states)
        tokens[rows, step], logprobs[rows, step], behavior[rows, step] = drawn, own, of_draw
        states = None if states is None else drawer.after(states, drawn)
        stops[rows] = torch.where(ended, stops[rows].clamp(max=step), stops[rows])
        if (step + 1) % every == 0 or step + 1 == most:
            active = ((stops[rows] > step) & (limits[rows] > step)).cpu()
            n_active = int(active.sum())
            if n_active == 0:
                break
            room = -(-n_active // ROWS_LEAVE) * ROWS_LEAVE
            if room < len(rows):
                # Rows from the end take the places of finished ones; no others are copied.
                keep = torch.arange(room)
                late = active[room:].nonzero()[:, 0] + room
                keep[(~active[:room]).nonzero()[: len(late), 0]] = late
                keep = keep.to(device)
                rows, drawn, positions = rows[keep], drawn[keep], positions[keep]
                states = None if states is None else states[keep]
                cache.keep(keep)
        # A finished row that is still in the batch must not run past the model's positions.
        logits = decoder.step(drawn, positions.clamp(max=decoder.max_positions - 1), cache)
        positions = positions + 1
    if not torch.isfinite(logprobs).all():
        raise InputError(
            "the policy's log-probabilities are not finite, so nothing can be drawn from it; its weights are damaged "
            "or were trained at too high a rate: take an earlier policy"
        )
    finished = stops <= limits  # a token past the limit is no part of the sample; a stop there is
    lengths = torch.where(finished, stops + 1, limits)
    found = (x.cpu() for x in (tokens, logprobs, behavior, lengths, finished))
    return [
        _sampled(row[:n], own[:n], of_draw[:n], bool(end), drawer.silent)
        for row, own, of_draw, n, end in zip(*found, strict=True)
    ]


def _sampled(
    tokens: torch.Tensor, logprobs: torch.Tensor, behavior: torch.Tensor, finished: bool, silent: frozenset[int]
) -> Sampled:
    ids = tokens.to(torch.int32).numpy()
    without_stop = ids[: len(ids) - finished].copy()
    return Sampled(
        tokens=without_stop,
        logprobs=logprobs.numpy().copy(),
        behavior=behavior.numpy().copy(),
        finished=finished,
        stop=int(ids[-1]) if finished else None,
        stuck=is_stuck(without_stop, silent),
    )
