"""The adapter of Dia: an encoder of bytes, and a decoder that writes all books of a frame by a delay pattern.

Every book is the policy, and so is the end mark of book 0. In token ids a voice prompt's codes end the context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from model.errors import InputError
from model.frames.adapter import Ids
from model.frames.books import Books, NoPlaceError
from model.frames.delayed import Dia as Delayed
from model.frames.delayed import steps_of

if TYPE_CHECKING:
    from transformers import DiaForConditionalGeneration

    from model.drawable import Drawable
    from model.drawing import Decoding
    from model.sampling import Request, Sampled

IGNORE = -100  # of model.objectives.logprobs, which asks this module


@dataclass(frozen=True)
class Spoken:
    """A sequence of token ids: ``text``, ``frames (n, books)`` of prompt and target, and whether speech ends there."""

    text: list[int]
    frames: torch.Tensor
    ended: bool


def read(books: Books, ids: Sequence[int]) -> Spoken:
    """Return a sequence by its parts.

    Raises:
        NoPlaceError: no text, or text after codes.
        InputError: codes that are no whole frames in the books' order.
    """
    flat = torch.as_tensor(list(ids), dtype=torch.long)
    is_code = flat >= books.first
    n_text = int(is_code.long().argmax()) if bool(is_code.any()) else len(flat)
    codes = flat[n_text:]
    if not n_text or not bool((codes >= books.first).all()):
        raise NoPlaceError("a sequence needs text first, and a target holds text; this policy writes frames only")
    ended = len(codes) > 0 and int(codes[-1]) == books.end_token
    codes = codes[: len(codes) - ended] - books.first
    order = torch.arange(len(codes)) % books.count
    if len(codes) % books.count or not torch.equal(codes // books.size, order):
        raise InputError(f"the {len(codes)} codes of a sequence are no whole frames of {books.count} books")
    return Spoken(flat[:n_text].tolist(), (codes % books.size).reshape(-1, books.count), ended)


class Dia:
    """See :class:`model.frames.adapter.FramePolicy`.

    Args:
        called: the model, or a wrapper of it that computes its forward pass.
    """

    def __init__(self, called: Any, model: DiaForConditionalGeneration, books: Books):
        self.model, self.books = model, books
        self.delayed = Delayed(model, called)
        self.pattern = self.delayed.pattern

    def room(self, context: Sequence[int], frames: int) -> int:
        spoken, config = read(self.books, context), self.model.config
        steps = len(spoken.frames) + frames + 1 + self.pattern.longest
        decoder = config.decoder_config.max_position_embeddings - steps
        return min(decoder, config.encoder_config.max_position_embeddings - len(spoken.text))

    def sample_once(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        drawable: Drawable,
        batch_size: int,
        on_done: Callable[[int], None] | None,
    ) -> list[Sampled]:
        from model.frames.dia_sampling import sample  # which takes its records from model.sampling

        for request in requests:
            if self.room(request.context, request.max_tokens // self.books.count) < 0:
                raise InputError(
                    f"a context of {len(request.context)} tokens and up to {request.max_tokens // self.books.count} "
                    "frames exceed the model's positions; shorten the text or the voice prompt"
                )
        return sample(self, requests, decoding, drawable, batch_size, on_done)

    def decided(self, labels: torch.Tensor) -> torch.Tensor:
        return labels != IGNORE

    def label_logprobs(
        self, tokens: torch.Tensor, labels: torch.Tensor, side: torch.Tensor | None = None
    ) -> torch.Tensor:
        sequences, scored = _unpadded(tokens.cpu(), labels.cpu(), None if side is None else side.cpu())
        logits = self._logits_at(sequences, scored)
        wanted = torch.cat([self._codes(ids, at) for ids, at in zip(sequences, scored, strict=True)])
        found = -torch.nn.functional.cross_entropy(logits.float(), wanted.to(logits.device), reduction="none")
        where = (labels != IGNORE).to(found.device)
        return torch.zeros(labels.shape, dtype=found.dtype, device=found.device).masked_scatter(where, found)

    @torch.inference_mode()
    def code_logprobs(self, contexts: Ids, targets: Ids, codes: Sequence[int]) -> torch.Tensor:
        sequences, scored = _joined(contexts, targets)
        first = self.books.first
        columns = sorted({code - first for code in codes if first <= code < first + self.books.size})
        logits = self._logits_at(sequences, scored).float()
        return logits[:, torch.tensor(columns, device=logits.device)].log_softmax(dim=-1)

    @torch.inference_mode()
    def target_logprobs(self, contexts: Ids, targets: Ids) -> list[torch.Tensor]:
        sequences, scored = _joined(contexts, targets)
        logits = self._logits_at(sequences, scored).float()
        wanted = torch.cat([self._codes(ids, at) for ids, at in zip(sequences, scored, strict=True)])
        found = logits.log_softmax(-1).gather(1, wanted.to(logits.device)[:, None])[:, 0]
        return list(found.cpu().split([len(at) for at in scored]))

    def policy_part(self) -> torch.nn.Module:
        return self.model

    def train(self) -> None:
        self.model.requires_grad_()

    def _codes(self, ids: Sequence[int], at: Sequence[int]) -> torch.Tensor:
        """Return the codes of ids at some places ``(places,)``; that of the stop is the end mark."""
        return (torch.tensor([ids[place] for place in at]) - self.books.first) % self.books.size

    def _logits_at(self, sequences: Ids, scored: Ids) -> torch.Tensor:
        """Return scores ``(places, codes)`` before some places of each sequence, one after another.

        Raises:
            InputError: what :func:`read` refuses, or a sequence without room.
        """
        spoken = [read(self.books, ids) for ids in sequences]
        for ids in sequences:
            if self.room(ids[:-1] if ids[-1] == self.books.end_token else ids, 0) < 0:
                raise InputError(f"a sequence of {len(ids)} tokens exceeds the model's positions; shorten the text")
        steps = steps_of(self.pattern, [one.frames for one in spoken], self.model.device)
        logits = self.delayed.logits([one.text for one in spoken], steps)
        delays, rows, at, books = torch.tensor(self.pattern.delays), [], [], []
        for row, (one, places) in enumerate(zip(spoken, scored, strict=True)):
            place = torch.tensor(places, dtype=torch.long) - len(one.text)
            if len(place) and int(place.min()) < 0:
                raise InputError("a target holds text; this policy writes frames only")
            book = place % self.books.count
            rows.append(torch.full_like(place, row))
            at.append(place // self.books.count + delays[book])
            books.append(book)
        index = (torch.cat(part).to(logits.device) for part in (rows, at, books))
        return logits[tuple(index)]


def _joined(contexts: Ids, targets: Ids) -> tuple[list[list[int]], list[list[int]]]:
    """Return whole sequences, and the places of each target in its sequence."""
    sequences = [[*context, *target] for context, target in zip(contexts, targets, strict=True)]
    return sequences, [list(range(len(c), len(s))) for c, s in zip(contexts, sequences, strict=True)]


def _unpadded(
    tokens: torch.Tensor, labels: torch.Tensor, side: torch.Tensor | None
) -> tuple[list[list[int]], list[list[int]]]:
    """Return the sequences of padded rows, and the places in them that are scored: in the order of the labels.

    Where a row holds both sides of a pair, each side after the context is a sequence of its own.
    """
    sequences, scored = [], []
    for row, (ids, wanted) in enumerate(zip(tokens, labels, strict=True)):
        parts = [torch.ones(len(ids), dtype=torch.bool)]
        if side is not None:
            parts = [(side[row] == 0) | (side[row] == number) for number in (1, 2)]
        for part in parts:
            at = part.nonzero()[:, 0]
            own = (wanted[at] != IGNORE).nonzero()[:, 0]
            if not len(own):
                continue
            at = at[: int(own[-1]) + 1]
            sequences.append([*ids[at].tolist(), int(wanted[at[-1]])])
            scored.append((own + 1).tolist())
    return sequences, scored
