"""Log-probabilities of a frame-parallel policy in the form that trainers give and take: padded token ids and labels.

A label is scored where the policy decides: at book 0 of a frame, and at the token that ends speech. At the other books,
which the depth decoder fills in, it is 0. So sums over a target are sums over its frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from model.errors import InputError
from model.frames.books import Books
from model.frames.csm import Folded, embed, fold, given_for, hidden_before

if TYPE_CHECKING:
    from transformers import CsmForConditionalGeneration


@torch.inference_mode()
def code_logprobs(
    model: CsmForConditionalGeneration,
    books: Books,
    contexts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    codes: Sequence[int],
) -> torch.Tensor:
    """Return log-probabilities ``(frames, codes of book 0)`` before each frame of the targets, the last one included.

    Args:
        codes: token ids that may be drawn, of every book; the code that ends speech belongs to them in any case.
    """
    batch = fold(books, contexts, targets, model.device)
    drawn = {code - books.first for code in codes if books.first <= code < books.first + books.size}
    columns = torch.tensor(sorted(drawn | {books.end_code}), device=model.device)
    return model.lm_head(hidden_before(model, batch)).float()[:, columns].log_softmax(dim=-1)


@dataclass(frozen=True)
class _Row:
    """One row of token ids by position: where each begins, whether it is a frame, and which of them each id ends."""

    begins: torch.Tensor  # (positions,)
    is_frame: torch.Tensor  # (positions,)
    ends: torch.Tensor  # (ids,): the position whose last id this is, or -1


def decided(books: Books, labels: torch.Tensor) -> torch.Tensor:
    """Return which labels ``(batch, length)`` the policy decides: codes of book 0, and where speech ends."""
    return (labels == books.end_token) | ((labels >= books.first) & (labels < books.first + books.size))


def label_logprobs(
    called: Any,
    model: CsmForConditionalGeneration,
    books: Books,
    tokens: torch.Tensor,
    labels: torch.Tensor,
    side: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return ``log p(label)`` ``(batch, length)`` at book 0 of frames and at ends of speech, 0 elsewhere.

    Args:
        called: the model, or a wrapper of it that computes its forward pass.
        tokens, labels: as of :func:`model.objectives.logprobs.label_logprobs`. A row's last frame may be incomplete.
        side: of :func:`model.fast.shared_context.collate_pairs`, if rows hold both sides of a pair.

    Raises:
        InputError: a label that is text, or a sequence that is longer than the model's positions.
    """
    tokens, labels = tokens.cpu(), labels.cpu()
    rows = [_positions(books, row) for row in tokens]
    scored = decided(books, labels)
    if bool(((labels >= 0) & (labels < books.first) & ~scored).any()):
        raise InputError("a target holds text; a frame-parallel policy writes frames only")
    at = torch.stack([row.ends for row in rows])[scored]
    if bool((at < 0).any()):
        raise InputError("the codes of a sequence are no whole frames: a label stands in the middle of one")
    which = torch.arange(len(rows))[:, None].expand(labels.shape)[scored]
    codes = torch.where(labels == books.end_token, books.end_code, labels - books.first)[scored]
    logits = _logits(called, model, books, tokens, rows, None if side is None else side.cpu())
    logits = logits[which.to(logits.device), at.to(logits.device)].float()
    found = -torch.nn.functional.cross_entropy(logits, codes.to(logits.device), reduction="none")
    where = scored.to(found.device)
    return torch.zeros(labels.shape, dtype=found.dtype, device=found.device).masked_scatter(where, found)


def _positions(books: Books, ids: torch.Tensor) -> _Row:
    """Return a row by position; an incomplete frame is left out, as nothing is predicted from it."""
    is_code = ids >= books.first
    book = torch.where(is_code, (ids - books.first) // books.size, -1)
    n, length = books.count, len(ids)
    whole = torch.zeros(length, dtype=torch.bool)
    if length >= n:
        windows = book.unfold(0, n, 1)
        whole[: length - n + 1] = (windows == torch.arange(n)).all(dim=1)
    begins = (~is_code | whole).nonzero()[:, 0]
    is_frame = is_code[begins]
    ends = torch.full((length,), -1)
    ends[begins + is_frame.long() * (n - 1)] = torch.arange(len(begins))
    return _Row(begins, is_frame | (ids[begins] == books.end_token), ends)


def _logits(
    called: Any,
    model: CsmForConditionalGeneration,
    books: Books,
    tokens: torch.Tensor,
    rows: Sequence[_Row],
    side: torch.Tensor | None,
) -> torch.Tensor:
    """Return the scores of book 0 after each position ``(batch, positions, codes)``."""
    shape = (len(rows), max(len(row.begins) for row in rows))
    text, is_frame = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    frames = torch.zeros(*shape, books.count, dtype=torch.long)
    sides = torch.full(shape, -1)
    for number, (ids, row) in enumerate(zip(tokens, rows, strict=True)):
        n, codes = len(row.begins), ids[row.begins] >= books.first
        text[number, :n] = torch.where(row.is_frame, 0, ids[row.begins])
        is_frame[number, :n] = row.is_frame
        frames[number, :n][row.is_frame] = books.end_code
        places = row.begins[codes, None] + torch.arange(books.count)
        frames[number, :n][codes] = (ids[places] - books.first) % books.size
        if side is not None:
            sides[number, :n] = side[number, row.begins]
    none = torch.zeros(0, dtype=torch.long)
    made = (text, frames, is_frame, none, none, frames[:0, 0])
    batch = Folded(*(tensor.to(model.device) for tensor in made))
    embedded = embed(model, batch)
    given = given_for(model, embedded, None if side is None else sides.to(model.device))
    return called(inputs_embeds=embedded, use_cache=False, **given).logits
