"""Batched sampling of CSM: book 0 of each frame from the backbone, the other books from the depth decoder.

Finished rows leave the batch. Each row draws from its own seeded generator, one number per book of each frame, so a
sample depends on its own seed and context only. Book 0 is drawn as the caller says. The depth decoder, which is no part
of the policy, is drawn as the checkpoint's ``generation_config.json`` says; greedily if it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import CsmForConditionalGeneration, DynamicCache

from model.drawing import Decoding, Drawer
from model.errors import InputError
from model.frames.books import Books
from model.frames.csm import Folded, embed
from model.sampling import Drawable, Request, Sampled
from model.stuck import is_stuck

TOP_K = 50  # what transformers takes where a configuration samples and says nothing


class DepthDecoder:
    """Fills frames whose book 0 is known, with the checkpoint's own decoding.

    Args:
        codes: that each book may draw, with the code that ends speech among them.
    """

    def __init__(self, model: CsmForConditionalGeneration, codes: torch.Tensor):
        settings = model.depth_decoder.generation_config
        self.model, self.codes = model.depth_decoder, codes
        self.count = model.config.num_codebooks
        self.drawer: Drawer | None = None
        if settings.do_sample:
            decoding = Decoding(
                temperature=1.0 if settings.temperature is None else settings.temperature,
                top_k=TOP_K if settings.top_k is None else settings.top_k,
                top_p=1.0 if settings.top_p is None else settings.top_p,
            )
            decoding.check()
            last = codes.tolist()
            # Which of the codes is called a stop makes no difference here: none is kept from being drawn.
            self.drawer = Drawer(Drawable(codes=last[:-1], stops=(last[-1],)), decoding, codes.device)

    def fill(self, first: torch.Tensor, hidden: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return whole frames ``(rows, books)``.

        Args:
            first: book 0 ``(rows,)``. hidden: the backbone's state before each frame ``(rows, width)``.
            uniforms: ``(rows, books)``, of which the first is not used.
        """
        frames, drawn, cache = [first], first, DynamicCache(config=self.model.config)
        given = torch.stack([torch.zeros_like(first), first], dim=1)  # the hidden state takes the place of the 0
        for book in range(1, self.count):
            logits = self.model(
                input_ids=given,
                backbone_last_hidden_state=hidden if book == 1 else None,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            if self.drawer is None:
                drawn = self.codes[logits[:, self.codes].argmax(dim=-1)]
            else:
                drawn = self.drawer.draw(logits, uniforms[:, book], drawn[:, None][:, :0], first=False)[0]
            frames.append(drawn)
            given = drawn[:, None]
        return torch.stack(frames, dim=1)


@torch.inference_mode()
def sample(
    model: CsmForConditionalGeneration,
    books: Books,
    requests: Sequence[Request],
    decoding: Decoding,
    drawable: Drawable,
    batch_size: int = 64,
    on_done: Callable[[int], None] | None = None,
) -> list[Sampled]:
    """Sample every request once and return the results in the order given, as :func:`model.sampling.sample` does.

    A sample's tokens are whole frames. Log-probabilities are those of book 0, which alone the policy draws, and 0 at
    the other books. A repetition penalty looks back at the sample's book 0. Speech ends at a frame whose books all have
    the end code, the last one excepted: the rule of the class.

    Args:
        drawable: codes of every book, and the token that stands for the frame in which speech ends.

    Raises:
        InputError: a context that leaves no room below the model's position limit, log-probabilities that are not
            finite, or another stop than the model's.
    """
    if books.end_token not in drawable.stops:
        raise InputError(f"the layout ends speech at {drawable.stops}, the model at token {books.end_token}")
    codes = np.asarray(drawable.codes, dtype=np.int64) - books.first
    first_book = [code for code in codes[(codes >= 0) & (codes < books.size)].tolist() if code != books.end_code]
    drawer = Drawer(Drawable(codes=first_book, stops=(books.end_code,)), decoding, model.device)
    folded = [books.fold(request.context) for request in requests]
    limits = [max(1, request.max_tokens // books.count) for request in requests]
    most = model.config.max_position_embeddings
    for positions, limit in zip(folded, limits, strict=True):
        if len(positions) + limit > most:
            raise InputError(
                f"a context of {len(positions)} positions and up to {limit} frames exceed the model's {most} "
                "positions; shorten the text or the voice prompt"
            )
    depth = DepthDecoder(model, drawer.ids)
    order = sorted(range(len(requests)), key=lambda i: -len(folded[i]))
    found: dict[int, Sampled] = {}
    for begin in range(0, len(order), batch_size):
        chosen = order[begin : begin + batch_size]
        contexts = _left_padded(books, [requests[i].context for i in chosen], model.device)
        seeds = [requests[i].seed for i in chosen]
        batch = _Batch(model, books, contexts, [limits[i] for i in chosen], seeds)
        found |= zip(chosen, batch.run(drawer, depth, drawable.silent), strict=True)
        if on_done:
            on_done(len(chosen))
    return [found[i] for i in range(len(requests))]


def _left_padded(books: Books, contexts: Sequence[Sequence[int]], device: torch.device) -> tuple[Folded, torch.Tensor]:
    """Return contexts that end together, and ``real (batch, positions)``: 0 at padding."""
    parts = [books.fold(context) for context in contexts]
    shape = (len(parts), max(map(len, parts)))
    text, is_frame = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    frames, real = torch.zeros(*shape, books.count, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for row, part in enumerate(parts):
        begin = shape[1] - len(part)
        text[row, begin:], frames[row, begin:] = torch.from_numpy(part.text), torch.from_numpy(part.frames)
        is_frame[row, begin:], real[row, begin:] = torch.from_numpy(part.is_frame), 1
    none = torch.zeros(0, dtype=torch.long)
    made = (text, frames, is_frame, none, none, frames[:0, 0])
    return Folded(*(tensor.to(device) for tensor in made)), real.to(device)


class _Batch:
    """Rows that are sampled together."""

    def __init__(
        self,
        model: CsmForConditionalGeneration,
        books: Books,
        contexts: tuple[Folded, torch.Tensor],
        limits: list[int],
        seeds: list[int],
    ):
        self.model, self.books, self.limits = model, books, torch.tensor(limits)
        folded, self.real = contexts
        self.most = max(limits) + 1  # draws: after the last allowed frame only the end counts
        drawn = [np.random.default_rng(seed).random((self.most, books.count)) for seed in seeds]
        self.uniforms = torch.from_numpy(np.stack(drawn)).to(model.device)
        self.cache = DynamicCache(config=model.config)
        self.hidden = self._forward(embed(model, folded), (self.real.cumsum(dim=1) - 1).clamp(min=0))

    def run(self, drawer: Drawer, depth: DepthDecoder, silent: frozenset[int]) -> list[Sampled]:
        """Sample until every row has ended. What repeats or is silent is told by book 0."""
        n = len(self.limits)
        frames = torch.zeros(n, self.most, self.books.count, dtype=torch.long)
        logprobs, behavior = torch.zeros(2, n, self.most)
        lengths, finished = torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.bool)
        rows = torch.arange(n)
        for step in range(self.most):
            uniforms = self.uniforms[rows.to(self.uniforms.device), step]
            logits = self.model.lm_head(self.hidden)
            recent = frames[rows, drawer.first_penalized(step) : step, 0].to(logits.device)
            first, _, own, of_draw = drawer.draw(logits, uniforms[:, 0], recent, first=step == 0)
            drawn = depth.fill(first, self.hidden, uniforms)
            frames[rows, step], logprobs[rows, step], behavior[rows, step] = drawn.cpu(), own.cpu(), of_draw.cpu()
            ended = (drawn[:, :-1] == self.books.end_code).all(dim=1).cpu()
            stopped = ended | (step >= self.limits[rows])
            lengths[rows[stopped]], finished[rows[stopped]] = step, ended[stopped]
            keep = (~stopped).nonzero()[:, 0]
            if not len(keep):
                break
            kept = keep.to(drawn.device)
            if len(keep) < len(rows):
                rows, drawn = rows[keep], drawn[kept]
                self.cache.batch_select_indices(kept)
                self.real = self.real[kept]
            self.real = torch.cat([self.real, self.real.new_ones(len(rows), 1)], dim=1)
            embedded = self.model.backbone_model.embed_tokens(drawn[:, None])
            self.hidden = self._forward(embedded, self.real.sum(dim=1, keepdim=True) - 1)
        if not torch.isfinite(logprobs).all():
            raise InputError(
                "the policy's log-probabilities are not finite, so nothing can be drawn from it; its weights are "
                "damaged or were trained at too high a rate: take an earlier policy"
            )
        return [
            Sampled(
                tokens=(tokens := np.asarray(self.books.ids(frames[row, :length].numpy()), dtype=np.int32)),
                logprobs=self._per_token(logprobs[row, : length + ended], length),
                behavior=self._per_token(behavior[row, : length + ended], length),
                finished=bool(ended),
                stop=self.books.end_token if ended else None,
                stuck=is_stuck(tokens[:: self.books.count], silent),
            )
            for row, (length, ended) in enumerate(zip(lengths.tolist(), finished.tolist(), strict=True))
        ]

    def _per_token(self, drawn: torch.Tensor, length: int) -> np.ndarray:
        """Return numbers of each frame's book 0 and of the stop, with 0 at books that the policy does not draw."""
        found = np.zeros(length * self.books.count + len(drawn) - length, np.float32)
        found[: length * self.books.count : self.books.count] = drawn[:length]
        found[length * self.books.count :] = drawn[length:]
        return found

    def _forward(self, embedded: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last hidden state ``(rows, width)`` after one or more further positions."""
        return self.model.backbone_model(
            inputs_embeds=embedded,
            attention_mask=self.real,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
