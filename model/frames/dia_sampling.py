"""Batched sampling of Dia: all books of a step at once, each at its delay.

Finished rows leave the batch. Each row draws from its own seeded generator, one number per code, so a sample depends on
its own seed and context only. There is no guidance: what is drawn is the model's own distribution, as it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from model.drawable import Drawable
from model.drawing import Decoding, Drawer
from model.errors import InputError
from model.frames.delayed import padded
from model.sampling import Request, Sampled
from model.stuck import is_stuck

if TYPE_CHECKING:
    from model.frames.dia_policy import Dia, Spoken

OPEN = 1 << 30  # frames of a row whose end is not known yet


@torch.inference_mode()
def sample(
    policy: Dia,
    requests: Sequence[Request],
    decoding: Decoding,
    drawable: Drawable,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
) -> list[Sampled]:
    """Sample every request once and return the results in the order given, as :func:`model.sampling.sample` does.

    Speech ends where book 0 draws its end mark; the other books are then written up to there. A repetition penalty
    looks back at codes of the same book.

    Raises:
        InputError: log-probabilities that are not finite, or another stop than the model's.
    """
    from model.frames.dia_policy import read

    books = policy.books
    if books.end_token not in drawable.stops:
        raise InputError(f"the layout ends speech at {drawable.stops}, the model at token {books.end_token}")
    spoken = [read(books, request.context) for request in requests]
    limits = [max(1, request.max_tokens // books.count) for request in requests]
    order = sorted(range(len(requests)), key=lambda i: -len(spoken[i].frames))
    found: dict[int, Sampled] = {}
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        batch = _Batch(policy, [spoken[i] for i in chosen], [limits[i] for i in chosen],
                       [requests[i].seed for i in chosen])  # fmt: skip
        found |= zip(chosen, batch.run(decoding, drawable), strict=True)
        if on_done:
            on_done(len(chosen))
    return [found[i] for i in range(len(requests))]


class _Batch:
    """Rows that are sampled together."""

    def __init__(self, policy: Dia, spoken: list[Spoken], limits: list[int], seeds: list[int]):
        self.model, self.books, self.pattern = policy.model, policy.books, policy.pattern
        self.device = self.model.device
        self.limits = torch.tensor(limits, device=self.device)
        self.most = max(limits) + 1  # draws of a book: after the last allowed frame only the end mark counts
        drawn = [np.random.default_rng(seed).random((self.most, self.books.count)) for seed in seeds]
        self.uniforms = torch.from_numpy(np.stack(drawn)).to(self.device)
        ids, self.mask = padded([one.text for one in spoken], self.device)
        self.encoded = self.model.get_encoder()(input_ids=ids, attention_mask=self.mask).last_hidden_state
        self.cache = EncoderDecoderCache(*(DynamicCache(config=self.model.config.decoder_config) for _ in range(2)))
        self.begun, given, self.real = self._prompts([one.frames for one in spoken])
        self.logits = self._forward(given, (self.real.cumsum(dim=1) - 1).clamp(min=0))

    def _prompts(self, prompts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what delayed books still hold of the prompts ``(rows, longest delay, books)``, the steps before.

        These end together: ``(rows, steps, books)``, and ``(rows, steps)``, 0 at padding.
        """
        late, bos = self.pattern.longest, self.pattern.bos
        begun, longest = [], max(map(len, prompts)) + 1
        given = torch.full((len(prompts), longest, self.books.count), bos, dtype=torch.long)
        real = torch.zeros((len(prompts), longest), dtype=torch.long)
        for row, frames in enumerate(prompts):
            steps = torch.full((len(frames) + late, self.books.count), bos, dtype=torch.long)
            for book, delay in enumerate(self.pattern.delays):
                steps[delay : delay + len(frames), book] = frames[:, book]
            given[row, longest - len(frames) :], real[row, longest - len(frames) - 1 :] = steps[: len(frames)], 1
            begun.append(steps[len(frames) :])
        return torch.stack(begun).to(self.device), given.to(self.device), real.to(self.device)

    def run(self, decoding: Decoding, drawable: Drawable) -> list[Sampled]:
        """Sample until every row has ended."""
        n, device, books = len(self.limits), self.device, self.books
        inside = [code - books.first for code in drawable.codes if books.first <= code < books.first + books.size]
        codes = sorted(set(inside) - {books.end_code})
        ending = Drawer(Drawable(codes=codes, stops=(books.end_code,)), decoding, device)
        # Which of the codes is called a stop makes no difference here: none is kept from being drawn.
        others = Drawer(Drawable(codes=codes[:-1], stops=(codes[-1],)), decoding, device)
        frames = torch.zeros(n, self.most, books.count, dtype=torch.long, device=device)
        numbers = torch.zeros(2, n, self.most, books.count, device=device)  # the policy's own, and the behavior's
        lengths = torch.full((n,), OPEN, device=device)
        finished = torch.zeros(n, dtype=torch.bool, device=device)
        rows = torch.arange(n, device=device)
        for step in range(self.most + self.pattern.longest):
            written = torch.full((len(rows), books.count), self.pattern.pad, device=device)
            for book, late in enumerate(self.pattern.delays):
                at = step - late
                if at < 0:  # the prompt's, or nothing yet
                    written[:, book] = self.begun[rows, step, book]
                    continue
                if at < self.most:
                    drawer = others if book else ending
                    recent = frames[rows, drawer.first_penalized(at) : at, book]
                    uniform = self.uniforms[rows, at, book]
                    drawn, ends, *both = drawer.draw(self.logits[:, book], uniform, recent, first=at == 0)
                    if not book:
                        stopped = (lengths[rows] == OPEN) & (ends | (at >= self.limits[rows]))
                        lengths[rows[stopped]], finished[rows[stopped]] = at, ends[stopped]
                    kept = (at < lengths[rows]) | ((at == lengths[rows]) & finished[rows] & (book == 0))
                    frames[rows[kept], at, book] = drawn[kept]
                    for place, found in enumerate(both):
                        numbers[place, rows[kept], at, book] = found[kept]
                    written[:, book] = torch.where(at < lengths[rows], drawn, self.pattern.pad)
                written[at == lengths[rows], book] = books.end_code
            keep = (step < lengths[rows] - 1 + self.pattern.longest).nonzero()[:, 0]
            if not len(keep):
                break
            if len(keep) < len(rows):
                rows, written = rows[keep], written[keep]
                self.cache.batch_select_indices(keep)
                self.real, self.mask, self.encoded = self.real[keep], self.mask[keep], self.encoded[keep]
            self.real = torch.cat([self.real, self.real.new_ones(len(rows), 1)], dim=1)
            self.logits = self._forward(written[:, None], self.real.sum(dim=1, keepdim=True) - 1)
        if not torch.isfinite(numbers[0]).all():
            raise InputError(
                "the policy's log-probabilities are not finite, so nothing can be drawn from it; its weights are "
                "damaged or were trained at too high a rate: take an earlier policy"
            )
        frames, numbers, ended = frames.cpu(), numbers.cpu(), finished.tolist()
        return [
            self._sampled(frames[row, :length], numbers[:, row], ended[row], drawable.silent)
            for row, length in enumerate(lengths.tolist())
        ]

    def _sampled(self, frames: torch.Tensor, numbers: torch.Tensor, ended: bool, silent: frozenset[int]) -> Sampled:
        length = len(frames)
        tokens = np.asarray(self.books.ids(frames.numpy()), dtype=np.int32)
        own, behavior = (
            torch.cat([one[:length].flatten(), one[length : length + ended, 0]]).numpy().copy() for one in numbers
        )
        return Sampled(
            tokens=tokens,
            logprobs=own,
            behavior=behavior,
            finished=ended,
            stop=self.books.end_token if ended else None,
            stuck=is_stuck(tokens[:: self.books.count], silent),
        )

    def _forward(self, steps: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return scores ``(rows, books, codes)`` after one or more further steps."""
        out = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=self.mask,
            decoder_input_ids=steps,
            decoder_position_ids=positions,
            decoder_attention_mask=self.real,
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return out.view(len(steps), self.books.count, steps.shape[1], -1)[:, :, -1]
