"""Batched sampling of any causal language model.

``generate`` of ``transformers`` carries every row to the end of the longest. Here finished rows leave the batch.
:mod:`model.fast.decoder` computes the forward pass of a plain Llama, :mod:`model.forward` that of others. Each row
draws from its own seeded generator, so a sample depends on its own seed and context only, never on its neighbors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.drawable import Drawable
from model.drawing import Decoding, Drawer
from model.errors import InputError
from model.fast import recording
from model.fast.decoder import Decoder
from model.fast.parallel import parallel_map
from model.fast.recording import RecordedDecoder, RecordedDrawer
from model.fast.supported import unsupported
from model.frames.adapter import adapter_of
from model.precision import with_weights_in
from model.running import Rows
from model.samples import Request, Sampled

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from model.forward import Forward

__all__ = ["Decoding", "Drawable", "Request", "Sampled", "sample"]

# Finished rows leave a batch in groups of this size: oneDNN compiles a kernel for each new number of rows, which takes
# as long as a step; on a GPU a new number of rows is recorded first.
ROWS_LEAVE = {"cpu": 8, "cuda": 16}

# A GPU runs ahead of the processor that tells it what to do. Asking it which rows have finished makes it wait, so it is
# asked once in so many steps; what finished rows draw until then is left out. On a CPU asking costs nothing.
CHECK_EVERY = {"cpu": 1, "cuda": 16}


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    requests: Sequence[Request],
    decoding: Decoding,
    drawable: Drawable,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
    dtype: torch.dtype | None = None,
) -> list[Sampled]:
    """Sample every request and return the results in the order given.

    Batches of at most ``batch_size`` are formed by context: similar contexts share a pass, and equal ones are computed
    once. All are of one size, so that none is small. Only what is drawable can be drawn in its place, and a code comes
    first. What is stuck is drawn again with seeds that follow from its own (``decoding.redraw_stuck``).

    Args:
        dtype: of the model's weights while it samples; None: as they are. Scores are float32 from the last layer on.

    Raises:
        InputError: a context that leaves no room below the model's position limit, a decoding that is out of its
            bounds, or log-probabilities that are not finite.
    """
    decoding.check()
    model = model if dtype in (None, model.dtype) else with_weights_in(model, dtype)
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
    if not recording.is_on(decoder.device):
        return partial(_sample_once, decoder, drawer, batch_size=batch_size)
    decoder = RecordedDecoder(decoder) if isinstance(decoder, Decoder) else decoder
    return partial(_sample_once, decoder, RecordedDrawer(drawer), batch_size=batch_size)


def _sample_once(
    decoder: Forward,
    drawer: Drawer | RecordedDrawer,
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


def _batch(decoder: Forward, drawer: Drawer | RecordedDrawer, requests: list[Request]) -> list[Sampled]:
    device = decoder.device
    every, leave = CHECK_EVERY.get(device.type, 1), ROWS_LEAVE.get(device.type, 8)
    most = max(r.max_tokens for r in requests) + 1  # draws: after the last allowed token only a stop counts
    logits, cache = decoder.prefill([r.context for r in requests])
    batch = Rows.of(requests, most, drawer.begin(len(requests)), device)
    found: dict[int, Sampled] = {}
    for step in range(most):
        end = batch.longest + step
        recent = batch.written[:, drawer.first_penalized(end) : end]
        drawn, ended, own, of_draw = drawer.draw(logits, batch.uniforms[:, step], recent, step == 0, batch.states)
        batch.written[:, end], batch.logprobs[:, step], batch.behavior[:, step] = drawn, own, of_draw
        batch.states = None if batch.states is None else drawer.after(batch.states, drawn)
        batch.stops = torch.where(ended, batch.stops.clamp(max=step), batch.stops)
        if (step + 1) % every == 0 or step + 1 == most:
            active = ((batch.stops > step) & (batch.limits > step)).cpu()
            n_active = int(active.sum())
            room = -(-n_active // leave) * leave
            if n_active == 0 or room < len(active):
                # Rows from the end take the places of finished ones; no others are copied.
                keep = torch.arange(room)
                late = active[room:].nonzero()[:, 0] + room
                keep[(~active[:room]).nonzero()[: len(late), 0]] = late
                left = torch.ones(len(active), dtype=torch.bool)
                left[keep] = False
                found |= batch.sampled(left.nonzero()[:, 0], drawer.silent)
                if n_active == 0:
                    break
                keep = keep.to(device)
                batch, drawn = batch.kept(keep), drawn[keep]
                cache.keep(keep)
        # A finished row that is still in the batch must not run past the model's positions.
        logits = decoder.step(drawn, batch.positions.clamp(max=decoder.max_positions - 1), cache)
        batch.positions = batch.positions + 1
    return [found[i] for i in range(len(requests))]
