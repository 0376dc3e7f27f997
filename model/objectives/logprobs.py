"""Sequence log-probabilities of the AR, on padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from model.fast.padding import padded
from model.tokens import PAD

IGNORE = -100  # label of a position that is not scored


def collate(contexts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return right-padded ``ids`` and ``labels``, both ``(batch, length)``, to a length of :mod:`model.fast.padding`.

    ``labels[b, t]`` is the token after position ``t`` if that token belongs to the target, else ``IGNORE``.
    Right padding needs no attention mask: under causal attention no real position sees a later one.
    """
    longest = padded(max(len(c) + len(t) for c, t in zip(contexts, targets, strict=True)) - 1)
    ids = torch.full((len(contexts), longest), PAD)
    labels = torch.full((len(contexts), longest), IGNORE)
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        sequence = torch.tensor([*context, *target])
        ids[row, : len(sequence) - 1] = sequence[:-1]
        labels[row, len(context) - 1 : len(sequence) - 1] = sequence[len(context) :]
    return ids, labels


def next_token_logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Return float32 logits ``(batch, length, vocabulary)`` of the token after each position, on the model's device."""
    device = next(model.parameters()).device
    return model(input_ids=tokens.to(device), use_cache=False).logits.float()


def token_logprobs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``log p(label)`` at each position ``(batch, length)``, 0 where the label is ``IGNORE``.

    Args:
        logits: ``(batch, length, vocabulary)``; labels: ``(batch, length)``.
    """
    losses = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
    return -losses


def sequence_logprobs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``log p(target | context)`` of each row ``(batch,)``: the sum over scored positions, as DPO defines it."""
    return token_logprobs(logits, labels).sum(dim=-1)
