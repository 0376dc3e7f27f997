"""The AR's forward pass for sampling: straight on the weights, with a cache of keys and values.

What ``transformers`` does in modules is done here in a few lines: no overhead, a cache that is written in place and
matrix products by :mod:`model.onednn`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from model.onednn import packed

GROWTH = 32  # positions that the cache grows by when it is full: a copy now and then, and little that lies unused


@dataclass
class Cache:
    """Keys and values of a batch whose rows end together: shorter ones begin with positions that nothing attends to.

    So a step appends one slice for all rows. ``layers``: ``(2, rows, heads, capacity, head width)`` each, of which
    ``end`` positions are filled; ``blocked (rows, 1, capacity)``: minus infinity where a row has not begun, else 0.
    """

    layers: list[torch.Tensor]
    blocked: torch.Tensor
    end: int

    def begin(self, rows: slice, position: int) -> None:
        """Nothing will attend to what these rows hold before ``position``."""
        self.blocked[rows, :, :position] = float("-inf")
        for kv in self.layers:
            kv[:, rows, :, :position] = 0.0  # read as well, with a weight of 0: it must be a number

    def keep(self, rows: torch.Tensor) -> None:
        """Leave only these rows, in this order."""
        self.layers = [kv[:, rows] for kv in self.layers]
        self.blocked = self.blocked[rows]

    def grow(self) -> None:
        """Make room for another position."""
        if self.end == self.blocked.shape[-1]:
            self.blocked = F.pad(self.blocked, (0, GROWTH))
            for i, kv in enumerate(self.layers):
                self.layers[i] = kv.new_empty(*kv.shape[:3], self.end + GROWTH, kv.shape[4])
                self.layers[i][:, :, :, : self.end] = kv


class Decoder:
    """The Llama forward pass of one policy, as its weights are now."""

    def __init__(self, model: LlamaForCausalLM):
        config = model.config
        self.heads, self.width = config.num_attention_heads, config.hidden_size
        self.head_width = self.width // self.heads
        self.eps, self.max_positions = config.rms_norm_eps, config.max_position_embeddings
        self.vocabulary = config.vocab_size
        self.embed = model.model.embed_tokens.weight
        self.norm, self.head = model.model.norm.weight, packed(model.lm_head.weight)
        self.layers = []
        for layer in model.model.layers:
            a, m = layer.self_attn, layer.mlp
            if a.k_proj.out_features != self.width:
                raise ValueError("sampling expects as many key/value heads as query heads")
            self.layers.append(
                (
                    layer.input_layernorm.weight,
                    # Scores are divided by the root of the head width; here, in the weights of the queries, once.
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
        # A rotation takes minus the second half for the first one: the sign is in the table.
        sign = torch.ones_like(angles[0])
        sign[: self.head_width // 2] = -1
        self.cos, self.sin = angles.cos().to(self.embed.dtype), (angles.sin() * sign).to(self.embed.dtype)

    def prefill(self, contexts: list[tuple[int, ...]]) -> tuple[torch.Tensor, Cache]:
        """Logits ``(rows, vocabulary)`` after each context, and the cache that holds them.

        Neighbours of one length share a forward pass without padding, and equal ones among them are computed once:
        sorted contexts take the fewest passes.
        """
        device, dtype = self.embed.device, self.embed.dtype
        longest = max(map(len, contexts))
        shape = (2, len(contexts), self.heads, longest + GROWTH, self.head_width)
        cache = Cache(
            [torch.empty(shape, dtype=dtype, device=device) for _ in self.layers],
            torch.zeros(len(contexts), 1, longest + GROWTH, dtype=dtype, device=device),
            longest,
        )
        logits = torch.empty(len(contexts), self.vocabulary, dtype=dtype, device=device)
        first = 0
        for length, group in groupby(contexts, len):
            members = list(group)
            rows = slice(first, first + len(members))
            cache.begin(rows, longest - length)
            logits[rows] = self._read(members, cache, rows)
            first = rows.stop
        return logits, cache

    def _read(self, contexts: list[tuple[int, ...]], cache: Cache, rows: slice) -> torch.Tensor:
        """Logits ``(rows, vocabulary)`` after contexts of one length, whose keys and values go into ``cache``."""
        place = {context: i for i, context in enumerate(dict.fromkeys(contexts))}
        ids = torch.tensor(list(place), device=self.embed.device)
        copies = torch.tensor([place[context] for context in contexts], device=ids.device)
        begin = cache.end - ids.shape[1]

        def each(once: torch.Tensor) -> torch.Tensor:
            return once if len(place) == len(contexts) else once[copies]

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            for part, held in zip((k, v), cache.layers[layer], strict=True):
                held[rows, :, begin : cache.end] = each(part)
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)

        return each(self._forward(ids, torch.arange(ids.shape[1], device=ids.device)[None], attend))

    def step(self, ids: torch.Tensor, positions: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Logits ``(rows, vocabulary)`` after one more token ``ids (rows,)`` at each row's position ``(rows,)``."""
        cache.grow()
        end = cache.end = cache.end + 1
        rows = len(ids)

        def attend(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            kv = cache.layers[layer]
            kv[0, :, :, end - 1 : end], kv[1, :, :, end - 1 : end] = k, v
            keys, values = (t[:, :, :end].flatten(0, 1) for t in kv)
            # One query a row and head: two batched products, which read the cache faster than fused attention does.
            scores = torch.bmm(q.flatten(0, 1), keys.transpose(1, 2)).view(rows, self.heads, end)
            weights = torch.softmax(scores.add_(cache.blocked[:, :, :end]), dim=-1)
            return torch.bmm(weights.view(-1, 1, end), values).view(rows, self.heads, 1, self.head_width)

        return self._forward(ids[:, None], positions[:, None], attend)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, attend: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Logits ``(rows, vocabulary)`` after the last of ``ids (rows, new)``."""
        rows, new = ids.shape
        cos, sin = self.cos[positions][:, None, None], self.sin[positions][:, None, None]
        x = self.embed[ids]
        for i, (norm1, qkv, out, norm2, gate_up, down) in enumerate(self.layers):
            h = qkv(F.rms_norm(x, (self.width,), norm1, self.eps)).view(rows, new, 3, self.heads, self.head_width)
            q_k, v = h[:, :, :2].permute(0, 2, 3, 1, 4), h[:, :, 2].transpose(1, 2)
            q, k = (q_k * cos + q_k.roll(self.head_width // 2, -1) * sin).unbind(1)
            attended = attend(i, q, k, v).transpose(1, 2).reshape(rows, new, self.width)
            if i == len(self.layers) - 1:
                x, attended = x[:, -1:], attended[:, -1:]  # nothing looks at the others any more
            x = x + out(attended)
            gate, up = gate_up(F.rms_norm(x, (self.width,), norm2, self.eps)).chunk(2, dim=-1)
            x = x + down(F.silu(gate) * up)
        return self.head(F.rms_norm(x[:, -1], (self.width,), self.norm, self.eps))
