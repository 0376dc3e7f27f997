"""Batched sampling of the AR with a key/value cache.

``transformers``' ``generate`` carries every row to the end of the longest. Here finished rows leave the
batch and the rest go on without it; the decoder step runs on the weights directly (no per-layer Python
module overhead, preallocated cache), and each row draws from its own seeded generator, so that a sample depends on
its own seed and context only, never on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from model.parallel import spread
from model.policy import vocabulary_of
from model.tokens import EOS, FIRST_CODE

COMPACT_BELOW = 0.8  # share of a batch's rows that still speak at which the finished ones leave it


@dataclass(frozen=True)
class Decoding:
    """How to sample: temperature, top-k (0: off) and the frame limit a character of text."""

    temperature: float = 1.0
    top_k: int = 0
    max_frames_per_character: float = 12.0

    def max_frames(self, text: str) -> int:
        return max(1, int(self.max_frames_per_character * len(text)))


@dataclass(frozen=True)
class Request:
    """One utterance to sample: vocabulary ids of the context, a frame limit, a seed."""

    context: tuple[int, ...]
    max_frames: int
    seed: int


@dataclass(frozen=True)
class Sampled:
    """Level-1 codes, the log-probability of each (and of the end mark) at temperature 1, and whether it ended."""

    tokens: np.ndarray  # int16 (frames,)
    logprobs: np.ndarray  # float32 (frames + 1 if finished else frames,)
    finished: bool


class _Decoder:
    """The Llama forward pass on preallocated keys and values, rows × heads × positions × head width."""

    def __init__(self, model: LlamaForCausalLM):
        config = model.config
        self.heads, self.width = config.num_attention_heads, config.hidden_size
        self.head_width = self.width // self.heads
        self.eps = config.rms_norm_eps
        self.embed = model.model.embed_tokens.weight
        self.norm, self.head = model.model.norm.weight, model.lm_head.weight
        self.layers = []
        for layer in model.model.layers:
            a, m = layer.self_attn, layer.mlp
            if a.k_proj.out_features != self.width:
                raise ValueError("sampling expects as many key/value heads as query heads")
            self.layers.append(
                (
                    layer.input_layernorm.weight,
                    torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]),
                    a.o_proj.weight,
                    layer.post_attention_layernorm.weight,
                    torch.cat([m.gate_proj.weight, m.up_proj.weight]),
                    m.down_proj.weight,
                )
            )
        inverse = model.model.rotary_emb.inv_freq.float()
        angles = torch.arange(config.max_position_embeddings, device=inverse.device).float()[:, None] * inverse
        angles = torch.cat([angles, angles], -1)
        self.cos, self.sin = angles.cos().to(self.embed.dtype), angles.sin().to(self.embed.dtype)

    def empty_cache(self, rows: int, positions: int) -> list[torch.Tensor]:
        """One tensor a layer: ``(2, rows, heads, positions, head width)``."""
        shape = (2, rows, self.heads, positions, self.head_width)
        return [torch.zeros(shape, dtype=self.embed.dtype, device=self.embed.device) for _ in self.layers]

    def _rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    def forward(self, ids: torch.Tensor, start: torch.Tensor, cache: list[torch.Tensor], end: int) -> torch.Tensor:
        """Logits ``(rows, new, vocabulary)`` of new ``ids (rows, new)``; each row begins at its ``start (rows,)``.

        Keys and values are written to the cache; attention sees positions up to each token's own, of the first ``end``.
        """
        rows, new = ids.shape
        positions = start[:, None] + torch.arange(new, device=ids.device)
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        visible = torch.arange(end, device=ids.device)[None, None, None] <= positions[:, None, :, None]
        row_index = torch.arange(rows, device=ids.device)[:, None]
        x = self.embed[ids]
        for (norm1, qkv, out, norm2, gate_up, down), keys_values in zip(self.layers, cache, strict=True):
            h = F.linear(F.rms_norm(x, (self.width,), norm1, self.eps), qkv)
            q, k, v = h.view(rows, new, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
            q, k = self._rotate(q, cos, sin), self._rotate(k, cos, sin)
            keys_values[0].transpose(1, 2)[row_index, positions] = k.transpose(1, 2)
            keys_values[1].transpose(1, 2)[row_index, positions] = v.transpose(1, 2)
            attended = F.scaled_dot_product_attention(
                q, keys_values[0, :, :, :end], keys_values[1, :, :, :end], attn_mask=visible
            )
            x = x + F.linear(attended.transpose(1, 2).reshape(rows, new, self.width), out)
            gate, up = F.linear(F.rms_norm(x, (self.width,), norm2, self.eps), gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, down)
        return F.linear(F.rms_norm(x, (self.width,), self.norm, self.eps), self.head)


@torch.inference_mode()
def sample(
    model: LlamaForCausalLM,
    requests: Sequence[Request],
    decoding: Decoding,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
) -> list[Sampled]:
    """Sample every request; results in the order given.

    Requests are sorted by context length so that a batch prefills together. Only codes and the end mark can be drawn,
    and the end mark not before the first code; the recorded log-probabilities are the policy's own (temperature 1,
    whole vocabulary), so they equal a teacher-forced pass over the same tokens.

    Raises:
        ValueError: a context that leaves no room below the model's position limit.
    """
    limit = model.config.max_position_embeddings
    for request in requests:
        if len(request.context) + request.max_frames > limit:
            raise ValueError(
                f"a context of {len(request.context)} tokens and up to {request.max_frames} frames exceed the model's "
                f"{limit} positions; shorten the text or raise ar.max_positions"
            )
    decoder = _Decoder(model)
    order = sorted(range(len(requests)), key=lambda i: -len(requests[i].context))
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

    def one(_worker: int, chosen: list[int]) -> list[Sampled]:
        with torch.inference_mode():  # a property of the thread
            sampled = _batch(decoder, model, [requests[i] for i in chosen], decoding)
        if on_done:
            on_done(len(chosen))
        return sampled

    parts = spread(one, batches, decoder.embed.device.type)
    place = {
        index: sampled
        for chosen, part in zip(batches, parts, strict=True)
        for index, sampled in zip(chosen, part, strict=True)
    }
    return [place[i] for i in range(len(requests))]


def _batch(decoder: _Decoder, model: LlamaForCausalLM, requests: list[Request], decoding: Decoding) -> list[Sampled]:
    device = decoder.embed.device
    n_codes = vocabulary_of(model).codebook_size
    lengths = torch.tensor([len(r.context) for r in requests])
    longest = int(lengths.max())
    limits = torch.tensor([r.max_frames for r in requests])
    capacity = int((lengths + limits).max())
    ids = torch.zeros(len(requests), longest, dtype=torch.long)
    for row, request in enumerate(requests):
        ids[row, : lengths[row]] = torch.tensor(request.context)
    # Uniform draws from each request's own generator, made up front: inverse-CDF sampling then needs no per-row loop.
    uniforms = torch.from_numpy(
        np.stack([np.random.default_rng(r.seed).random(int(limits.max()) + 1) for r in requests])
    ).to(device)
    cache = decoder.empty_cache(len(requests), capacity)
    logits = decoder.forward(
        ids.to(device), torch.zeros(len(requests), dtype=torch.long, device=device), cache, longest
    )
    last = logits[torch.arange(len(requests)), (lengths - 1).to(device)]

    tokens = torch.zeros(len(requests), int(limits.max()) + 1, dtype=torch.long)
    logprobs = torch.zeros(len(requests), int(limits.max()) + 1)
    n_drawn = torch.zeros(len(requests), dtype=torch.long)
    finished = torch.zeros(len(requests), dtype=torch.bool)
    rows = torch.arange(len(requests))  # request of each row of the batch
    active = torch.ones(len(requests), dtype=torch.bool)  # whether that row still speaks
    positions = lengths.clone()
    for step in range(int(limits.max()) + 1):
        drawn, drawn_logprobs = _draw(last, uniforms[rows, step], decoding, n_codes, allow_end=step > 0)
        drawn, drawn_logprobs = drawn.cpu(), drawn_logprobs.cpu()
        ended = drawn == EOS
        at_limit = (step >= limits[rows]) & ~ended  # the draw after the last allowed frame may only be the end mark
        kept = active & ~at_limit
        tokens[rows[kept], step] = drawn[kept]
        logprobs[rows[kept], step] = drawn_logprobs[kept]
        n_drawn[rows[kept]] = step + 1
        finished[rows[active & ended]] = True
        active &= ~(ended | at_limit)
        n_active = int(active.sum())
        if n_active == 0:
            break
        if n_active <= COMPACT_BELOW * len(rows):
            # Finished rows leave the batch. Not at every end: that would copy the whole cache each time.
            keep = active.nonzero()[:, 0]
            rows, drawn, positions, active = rows[keep], drawn[keep], positions[keep], active[keep]
            cache = [kv[:, keep.to(device)] for kv in cache]
        # A finished row that is still here must not run past the cache.
        positions = positions.clamp(max=capacity - 1)
        end = int(positions[active].max()) + 1
        last = decoder.forward(drawn[:, None].to(device), positions.to(device), cache, end)[:, 0]
        positions = positions + 1
    out = []
    for row in range(len(requests)):
        n = int(n_drawn[row])
        frames = n - 1 if finished[row] else n
        codes = (tokens[row, :frames] - FIRST_CODE).to(torch.int16).numpy()
        out.append(Sampled(codes, logprobs[row, :n].numpy().copy(), bool(finished[row])))
    return out


def _draw(
    logits: torch.Tensor, uniform: torch.Tensor, decoding: Decoding, n_codes: int, allow_end: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens ``(rows,)`` by inverse CDF and their log-probabilities at temperature 1."""
    logprobs = F.log_softmax(logits.float(), dim=-1)
    allowed = torch.full_like(logprobs, float("-inf"))
    allowed[:, FIRST_CODE : FIRST_CODE + n_codes] = 0.0
    if allow_end:
        allowed[:, EOS] = 0.0
    scores = logprobs / decoding.temperature + allowed
    if decoding.top_k:
        threshold = scores.topk(min(decoding.top_k, scores.shape[-1]), dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < threshold, float("-inf"))
    cdf = scores.double().softmax(dim=-1).cumsum(dim=-1)
    # Rounding may leave the last value a hair below 1: scale so that a draw never falls past the end.
    drawn = torch.searchsorted(cdf, (uniform * cdf[:, -1]).unsqueeze(1), right=True)[:, 0].clamp(max=cdf.shape[-1] - 1)
    return drawn, logprobs.gather(1, drawn[:, None])[:, 0]
