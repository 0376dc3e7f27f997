"""Both sides of preference pairs after one computation of the context that they share.

A row is ``context chosen rejected``. The rejected side sees the context and itself, never the chosen side, and its
positions start where the chosen side's do. So each token gets what it gets in a sequence of its own: the sums differ
from :func:`model.objectives.logprobs.sequence_logprobs` by rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from model.fast.padding import padded
from model.frames.adapter import adapter_of
from model.objectives.logprobs import IGNORE, decided, label_logprobs

CONTEXT, CHOSEN, REJECTED, PADDING = range(4)


def collate_pairs(pairs: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Return ``tokens``, ``labels``, ``positions`` and ``side``, each ``(pairs, length)``, right-padded.

    The context's last token is repeated before each side, whose first token it predicts. ``labels`` are the next
    tokens of each side, ``IGNORE`` before its segment (``prefer.credit``).
    """
    rows = []
    for pair in pairs:
        context = [*pair["context"]]
        last = len(context) - 1
        tokens, labels, positions, side = context[:-1], [IGNORE] * last, list(range(last)), [CONTEXT] * last
        for name, number in (("chosen", CHOSEN), ("rejected", REJECTED)):
            target, first = [*pair[name]], pair[f"{name}_from"]
            tokens += [context[-1], *target[:-1]]
            labels += [IGNORE] * first + target[first:]
            positions += range(last, last + len(target))
            side += [number] * len(target)
        rows.append((tokens, labels, positions, side))
    length = padded(max(len(tokens) for tokens, *_ in rows))
    columns = zip(
        ("tokens", "labels", "positions", "side"), (0, IGNORE, 0, PADDING), zip(*rows, strict=True), strict=True
    )
    return {
        name: torch.tensor([[*row, *[filler] * (length - len(row))] for row in column])
        for name, filler, column in columns
    }


def pair_logprobs(
    model: torch.nn.Module, tokens: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor, side: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``log p(chosen | context)`` and ``log p(rejected | context)`` ``(pairs,)``, on the model's device.

    Args: of :func:`collate_pairs`.
    """
    frames = adapter_of(model)
    if frames is not None:
        logprobs = frames.label_logprobs(tokens, labels, side)
    else:
        logprobs = label_logprobs(model, tokens, labels, positions=positions, visible=visible(side))
    return _sum(logprobs, side, CHOSEN), _sum(logprobs, side, REJECTED)


def scored_tokens(
    model: torch.nn.Module, labels: torch.Tensor, side: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how many tokens of the chosen and of the rejected sides are summed ``(pairs,)``."""
    scored = decided(model, labels)
    return _sum(scored, side, CHOSEN), _sum(scored, side, REJECTED)


def visible(side: torch.Tensor) -> torch.Tensor:
    """Return which positions each one sees ``(pairs, 1, length, length)``: earlier ones of its side or the context."""
    own = (side[:, None, :] == side[:, :, None]) | (side[:, None, :] == CONTEXT)
    return own.tril()[:, None]


def _sum(values: torch.Tensor, side: torch.Tensor, which: int) -> torch.Tensor:
    return torch.where(side.to(values.device) == which, values, 0).sum(dim=1)
