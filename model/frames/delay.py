"""Delay patterns: books of one frame that are written at different steps (Copet et al. 2023, arXiv 2306.05284).

Book ``k`` of frame ``t`` stands at step ``t + delays[k]``. So at each step all books are predicted at once, and still a
book may depend on lower ones of its own frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.errors import InputError


@dataclass(frozen=True)
class DelayPattern:
    """Delays of the books in steps, and the ids that stand before, at and after the end of a book's codes.

    ``eos`` is None where a family has no code that ends speech.
    """

    delays: tuple[int, ...]
    bos: int
    pad: int
    eos: int | None = None

    def __post_init__(self) -> None:
        if not self.delays or min(self.delays) != 0:
            raise InputError(f"delays should begin at 0 and not be negative, found {self.delays}")

    @property
    def longest(self) -> int:
        return max(self.delays)

    def delay(self, frames: torch.Tensor) -> torch.Tensor:
        """Return steps ``(frames + end + longest delay, books)`` of ``frames (frames, books)``.

        Each book's codes are followed by its ``eos``, if the family has one; other places hold ``bos`` or ``pad``.

        Raises:
            InputError: another number of books, or a code that marks something else.
        """
        n = self._check(frames)
        if n and bool((frames == self.bos).any() | (frames == self.pad).any() | (frames == self._end).any()):
            raise InputError(f"codes hold {self.bos}, {self.pad} or {self._end}, which mark something else")
        book = frames if self.eos is None else F.pad(frames, (0, 0, 0, 1), value=self.eos)
        steps = torch.full((len(book) + self.longest, len(self.delays)), self.pad, dtype=torch.long)
        for k, late in enumerate(self.delays):
            steps[:late, k] = self.bos
            steps[late : late + len(book), k] = book[:, k]
        return steps.to(frames.device)

    def undo(self, steps: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Return the frames ``(frames, books)`` of delayed steps ``(steps, books)``, and whether their end is there.

        Speech ends where book 0 has ``eos``, as the families decode it. Without one, frames end before the first that
        is not whole.

        Raises:
            InputError: another number of books, or a mark within the frames.
        """
        n = self._check(steps)
        whole = max(0, n - self.longest)
        frames = torch.stack([steps[late : late + whole, k] for k, late in enumerate(self.delays)], dim=1)
        ended = torch.zeros(n, dtype=torch.bool) if self.eos is None else steps[:, 0].cpu() == self.eos
        finished = bool(ended.any())
        if finished:
            frames = frames[: int(ended.nonzero()[0])]
        elif self.eos is None:  # pads stand where a sample was cut to its frames
            frames = frames[: int((frames != self.pad).all(dim=1).long().cumprod(0).sum())]
        if bool((frames == self.bos).any() | (frames == self.pad).any() | (frames == self._end).any()):
            raise InputError("delayed codes have a mark within a frame; the delays may be another family's")
        return frames, finished

    def scored(self, steps: torch.Tensor) -> torch.Tensor:
        """Return which places ``(steps, books)`` of delayed steps a model had to choose: codes and ``eos``.

        ``bos`` and ``pad`` stand there by the pattern, whatever the model says.
        """
        self._check(steps)
        return (steps != self.bos) & (steps != self.pad)

    @property
    def _end(self) -> int:
        return self.pad if self.eos is None else self.eos

    def _check(self, rows: torch.Tensor) -> int:
        if rows.dim() != 2 or rows.shape[1] != len(self.delays):
            raise InputError(f"expected codes of {len(self.delays)} books (length, books), found {tuple(rows.shape)}")
        return len(rows)


def pad_steps(pattern: DelayPattern, steps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return delayed sequences as one batch ``(batch, longest, books)``, padded on the right, which is not scored."""
    return torch.nn.utils.rnn.pad_sequence(list(steps), batch_first=True, padding_value=pattern.pad)


def delayed_logprobs(
    pattern: DelayPattern, logits: torch.Tensor, steps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities ``(batch, length, books)`` of delayed codes, 0 where none is scored, and the mask.

    Given the earlier steps the books of a step are independent, so a sequence's log-probability is the sum.

    Args:
        logits: ``(batch, length, books, vocabulary)`` for each place of ``steps``, from the steps before it.
        steps: ``(batch, length, books)``.
    """
    mask = torch.stack([pattern.scored(row) for row in steps])
    labels = steps.masked_fill(~mask, -100)
    losses = F.cross_entropy(logits.float().flatten(0, 2), labels.flatten(), ignore_index=-100, reduction="none")
    return -losses.view(steps.shape), mask
