"""Batched sampling of the AR.

``generate`` of ``transformers`` carries every row to the end of the longest. Here finished rows leave the batch, and
:mod:`model.fast.decoder` computes the forward pass. Each row draws from its own seeded generator, so a sample depends
on its own seed and context only, never on its neighbors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from model.errors import InputError
from model.fast.decoder import Decoder
from model.fast.parallel import parallel_map
from model.policy import vocabulary_of
from model.tokens import EOS, FIRST_CODE

# Finished rows leave a batch in groups of this size: oneDNN compiles a kernel for each new number of rows, which takes
# as long as a step.
ROWS_LEAVE = 8
LEAST_TEMPERATURE = 0.01  # as good as always the likeliest code; far below, scores overflow
LARGEST_CODEBOOK = 1 << 15  # codes of 16 bits with a sign


@dataclass(frozen=True)
class Decoding:
    """How to sample: temperature, top-k (0: off), top-p (1: off) and the limit of frames per character of text."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_frames_per_character: float = 12.0

    def check(self) -> None:
        """Refuse settings that nothing can be drawn at.

        Raises:
            InputError: with the bounds.
        """
        if not LEAST_TEMPERATURE <= self.temperature <= 1e3 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature is {self.temperature}, top_k {self.top_k} and top_p {self.top_p}; expected a "
                f"temperature of at least {LEAST_TEMPERATURE} and at most 1000, a top_k of 0 (no limit) or more, and a "
                "top_p above 0 and at most 1 (no limit)"
            )

    def max_frames(self, text: str) -> int:
        """Return the frame limit of a text."""
        return max(1, int(self.max_frames_per_character * len(text)))


@dataclass(frozen=True)
class Request:
    """One utterance to sample: vocabulary ids of the context, a frame limit and a seed."""

    context: tuple[int, ...]
    max_frames: int
    seed: int


@dataclass(frozen=True)
class Sampled:
    """Level-1 codes, the log-probability of each and of the end mark at temperature 1, and whether it ended."""

    tokens: np.ndarray  # int16 (frames,)
    logprobs: np.ndarray  # float32 (frames + 1 if finished else frames,)
    finished: bool


@torch.inference_mode()
def sample(
    model: LlamaForCausalLM,
    requests: Sequence[Request],
    decoding: Decoding,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
) -> list[Sampled]:
    """Sample every request and return the results in the order given.

    Batches are formed by context: similar contexts share a pass, and equal ones are computed once. Only codes and the
    end mark can be drawn, and a code comes first. The recorded log-probabilities are the policy's own (temperature 1,
    whole vocabulary), so they equal a teacher-forced pass over the same tokens.

    Raises:
        InputError: a context that leaves no room below the model's position limit, a decoding that is out of its
            bounds, log-probabilities that are not finite, or a codebook of more codes than samples can hold.
    """
    decoding.check()
    if (n := vocabulary_of(model).codebook_size) > LARGEST_CODEBOOK:
        raise InputError(f"the policy has {n} codes per level; samples hold at most {LARGEST_CODEBOOK}")
    limit = model.config.max_position_embeddings
    for request in requests:
        if len(request.context) + request.max_frames > limit:
            raise InputError(
                f"a context of {len(request.context)} tokens and up to {request.max_frames} frames exceed the model's "
                f"{limit} positions; shorten the text or raise ar.max_positions"
            )
    decoder, n_codes = Decoder(model), vocabulary_of(model).codebook_size
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].context), requests[i].context))
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

    def one(_worker: int, chosen: list[int]) -> list[Sampled]:
        with torch.inference_mode():  # a property of the thread
            sampled = _batch(decoder, n_codes, [requests[i] for i in chosen], decoding)
        if on_done:
            on_done(len(chosen))
        return sampled

    parts = parallel_map(one, batches, decoder.embed.device.type)
    place = {
        index: sampled
        for chosen, part in zip(batches, parts, strict=True)
        for index, sampled in zip(chosen, part, strict=True)
    }
    return [place[i] for i in range(len(requests))]


def _batch(decoder: Decoder, n_codes: int, requests: list[Request], decoding: Decoding) -> list[Sampled]:
    device = decoder.embed.device
    limits = torch.tensor([r.max_frames for r in requests])
    most = int(limits.max()) + 1  # draws: after the last allowed frame only the end mark counts
    # Uniform draws of each request's own generator, made up front: inverse-CDF sampling then needs no loop over rows.
    uniforms = torch.from_numpy(np.stack([np.random.default_rng(r.seed).random(most) for r in requests])).to(device)
    allowed = _allowed(decoder, n_codes)
    logits, cache = decoder.prefill([r.context for r in requests])

    tokens = torch.zeros(len(requests), most, dtype=torch.long)
    logprobs = torch.zeros(len(requests), most)
    n_drawn = torch.zeros(len(requests), dtype=torch.long)
    finished = torch.zeros(len(requests), dtype=torch.bool)
    rows = torch.arange(len(requests))  # request of each row of the batch
    active = torch.ones(len(requests), dtype=torch.bool)  # whether that row goes on
    positions = torch.tensor([len(r.context) for r in requests])
    for step in range(most):
        drawn, drawn_logprobs = _draw(logits, uniforms[rows, step], decoding, allowed[min(step, 1)])
        drawn = drawn.cpu()
        tokens[rows, step], logprobs[rows, step] = drawn, drawn_logprobs.cpu()
        ended = drawn == EOS
        stopped = active & (ended | (step >= limits[rows]))
        n_drawn[rows[stopped]] = step + ended[stopped].long()  # a code past the limit is no part of the sample
        finished[rows[stopped]] = ended[stopped]
        active &= ~stopped
        n_active = int(active.sum())
        if n_active == 0:
            break
        room = -(-n_active // ROWS_LEAVE) * ROWS_LEAVE
        if room < len(rows):
            # Rows from the end take the places of finished ones; no others are copied.
            keep = torch.arange(room)
            late = active[room:].nonzero()[:, 0] + room
            keep[(~active[:room]).nonzero()[: len(late), 0]] = late
            rows, drawn, positions, active = rows[keep], drawn[keep], positions[keep], active[keep]
            cache.keep(keep.to(device))
        # A finished row that is still in the batch must not run past the model's positions.
        logits = decoder.step(drawn.to(device), positions.clamp(max=decoder.max_positions - 1).to(device), cache)
        positions = positions + 1
    if not torch.isfinite(logprobs).all():
        raise InputError(
            "the policy's log-probabilities are not finite, so nothing can be drawn from it; its weights are damaged "
            "or were trained at too high a rate: take an earlier policy"
        )
    out = []
    for row in range(len(requests)):
        n = int(n_drawn[row])
        codes = (tokens[row, : n - int(finished[row])] - FIRST_CODE).to(torch.int16).numpy()
        out.append(Sampled(codes, logprobs[row, :n].numpy().copy(), bool(finished[row])))
    return out


def _allowed(decoder: Decoder, n_codes: int) -> torch.Tensor:
    """Return ``(2, vocabulary)``: 0 or minus infinity, for the scores of the first draw and of every later one."""
    allowed = torch.full((2, len(decoder.embed)), float("-inf"), device=decoder.embed.device)
    allowed[:, FIRST_CODE : FIRST_CODE + n_codes] = 0.0
    allowed[1, EOS] = 0.0
    return allowed


def _draw(
    logits: torch.Tensor, uniform: torch.Tensor, decoding: Decoding, allowed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens ``(rows,)`` by inverse CDF, and their log-probabilities at temperature 1.

    Temperature comes first, then top-k, then top-p (Holtzman et al. 2020, arXiv 1904.09751): the fewest codes whose
    probabilities reach it.
    """
    logprobs = F.log_softmax(logits.float(), dim=-1)
    scores = logprobs / decoding.temperature + allowed
    if decoding.top_k:
        threshold = scores.topk(min(decoding.top_k, scores.shape[-1]), dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < threshold, float("-inf"))
    probabilities = scores.double().softmax(dim=-1)
    if decoding.top_p < 1:
        falling, order = probabilities.sort(dim=-1, descending=True)
        likelier = falling.cumsum(dim=-1) - falling  # the mass of all likelier codes
        probabilities = probabilities.scatter(1, order, falling.masked_fill(likelier >= decoding.top_p, 0.0))
    cdf = probabilities.cumsum(dim=-1)
    # Rounding may leave the last value just below 1: scale, so that no draw falls past the end.
    drawn = torch.searchsorted(cdf, (uniform * cdf[:, -1]).unsqueeze(1), right=True)[:, 0].clamp(max=cdf.shape[-1] - 1)
    return drawn, logprobs.gather(1, drawn[:, None])[:, 0]
