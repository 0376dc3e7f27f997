"""The AR's forward pass for sampling: straight from the weights, with a key/value cache.

``transformers`` computes the same in modules. Here there is no overhead, keys and values are written in place
(:mod:`model.fast.kv_cache`), and :mod:`model.fast.onednn` computes the matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from model.fast.kv_cache import GROWTH, Cache, SharedCache
from model.fast.onednn import packed
from model.fast.supported import check_supported

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SHARED_BY = 2  # mean rows per context from which on a SharedCache pays
PADDED_FROM = 0.9  # share of a pass's longest context; shorter ones start another pass


class Decoder:
    """Llama forward pass of one policy with its present weights.

    Raises:
        InputError: a model that this pass would compute wrongly (:mod:`model.fast.supported`).
    """

    def __init__(self, model: LlamaForCausalLM):
        check_supported(model)
        config = model.config
        self.heads, self.width = config.num_attention_heads, config.hidden_size
        self.head_width = self.width // self.heads
        self.eps, self.max_positions = config.rms_norm_eps, config.max_position_embeddings
        self.vocabulary = config.vocab_size
        self.embed = model.model.embed_tokens.weight
        self.device = self.embed.device
        self.norm, self.head = model.model.norm.weight, packed(model.lm_head.weight)
        self.layers = []
        for layer in model.model.layers:
            a, m = layer.self_attn, layer.mlp
            self.layers.append(
                (
                    layer.input_layernorm.weight,
                    # Attention divides its scores by the root of the head width: done once, in the query weights.
                    packed(torch.cat([a.q_proj.weight * self.head_width**-0.5, a.k_proj.weight, a.v_proj.weight])),
                    packed(a.o_proj.weight),
                    layer.post_attention_layernorm.weight,
                    packed(torch.cat([m.gate_proj.weight, m.up_proj.weight])),
                    packed(m.down_proj.weight),
                )
            )
        inverse = model.model.rotary_emb.inv_freq.float()
        angles = torch.arange(config.max_position_embeddings, device=inverse.device).float()[:, None] * inverse
        angles = torch.cat([angles, angles], -1)
        # A rotation negates the second half where it adds it to the first: the table holds the sign.
        sign = torch.ones_like(angles[0])
        sign[: self.head_width // 2] = -1
        self.cos, self.sin = angles.cos().to(self.embed.dtype), (angles.sin() * sign).to(self.embed.dtype)

    def prefill(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, Cache | SharedCache]:
        """Return logits ``(rows, vocabulary)`` after each context, and the cache of the contexts.

        Equal contexts are computed once. Neighbors of similar length share a pass, so sort by length, longest first.
        """
        place = {context: i for i, context in enumerate(dict.fromkeys(contexts))}
        logits, cache = self._encode(list(place))
        if len(place) == len(contexts):
            return logits, cache
        rows = torch.tensor([place[context] for context in contexts], device=logits.device)
        if len(place) * SHARED_BY <= len(contexts):
            return logits[rows], SharedCache(cache, rows)
        cache.keep(rows)
        return logits[rows], cache

    def _encode(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, Cache]:
        longest = max(map(len, contexts))
        shape = (2, len(contexts), self.heads, longest + GROWTH, self.head_width)
        cache = Cache([self.embed.new_empty(shape) for _ in self.layers], longest)
        logits, first = [], 0
        for part in _alike(contexts):
            logits.append(self._encode_alike(part, cache, first))
            first += len(part)
        return torch.cat(logits), cache

    def _encode_alike(self, contexts: list[tuple[int, ...]], cache: Cache, first: int) -> torch.Tensor:
        """Return logits ``(rows, vocabulary)`` after contexts of similar length; fill ``cache`` from row ``first`` on.

        One right-padded pass: causal attention sees nothing later, and the padding is left out of the cache.
        """
        lengths = [len(context) for context in contexts]
        ids = torch.tensor([[*c, *[0] * (max(lengths) - len(c))] for c in contexts], device=self.embed.device)
        runs, stop = [], 0  # neighbors of one length: their slice and their length
        for length, group in groupby(lengths):
            start, stop = stop, stop + len(list(group))
            runs.append((slice(start, stop), length))
            cache.begin(slice(first + start, first + stop), cache.end - length)

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            attended = torch.zeros_like(q)
            for run, length in runs:
                rows, begin = slice(first + run.start, first + run.stop), cache.end - length
                query, key, value = q[run, :, :length], k[run, :, :length], v[run, :, :length]
                kv = cache.layers[layer]
                kv[0, rows, :, begin : cache.end], kv[1, rows, :, begin : cache.end] = key, value
                alone = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0)
                attended[run, :, :length] = alone
            return attended

        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        return self._forward(ids, positions, attend, torch.tensor(lengths, device=ids.device) - 1)

    def step(self, ids: torch.Tensor, positions: torch.Tensor, cache: Cache | SharedCache) -> torch.Tensor:
        """Return logits ``(rows, vocabulary)`` after one more token per row, at ``positions (rows,)``."""
        cache.grow()
        return self.newest(ids, positions, cache)

    def newest(self, ids: torch.Tensor, positions: torch.Tensor, cache: Cache | SharedCache) -> torch.Tensor:
        """Compute :meth:`step` where the cache has room for the token already: tensors in and out, nothing else."""
        return self._forward(ids[:, None], positions[:, None], cache.attend, torch.zeros_like(ids))

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, attend: Callable[..., torch.Tensor], last: torch.Tensor
    ) -> torch.Tensor:
        """Return logits ``(rows, vocabulary)`` after the position ``last (rows,)`` of ``ids (rows, new)``."""
        rows, new = ids.shape
        cos, sin = self.cos[positions][:, None, None], self.sin[positions][:, None, None]
        x, each = self.embed[ids], torch.arange(rows, device=ids.device)
        for i, (norm1, qkv, out, norm2, gate_up, down) in enumerate(self.layers):
            h = qkv(F.rms_norm(x, (self.width,), norm1, self.eps)).view(rows, new, 3, self.heads, self.head_width)
            q_k, v = h[:, :, :2].permute(0, 2, 3, 1, 4), h[:, :, 2].transpose(1, 2)
            q, k = (q_k * cos + q_k.roll(self.head_width // 2, -1) * sin).unbind(1)
            attended = attend(i, q, k, v).transpose(1, 2).reshape(rows, new, self.width)
            if i == len(self.layers) - 1:
                x, attended = x[each, last][:, None], attended[each, last][:, None]  # nothing reads the others
            x = x + out(attended)
            gate, up = gate_up(F.rms_norm(x, (self.width,), norm2, self.eps)).chunk(2, dim=-1)
            x = x + down(F.silu(gate) * up)
        return self.head(F.rms_norm(x[:, -1], (self.width,), self.norm, self.eps))


def _alike(contexts: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Yield runs of neighbors at most a tenth shorter than their first: one pass of them needs little padding."""
    first = 0
    for i in range(1, len(contexts) + 1):
        if i == len(contexts) or not PADDED_FROM * len(contexts[first]) <= len(contexts[i]) <= len(contexts[first]):
            yield contexts[first:i]
            first = i
