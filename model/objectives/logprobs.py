"""Sequence log-probabilities of the AR, on padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from model.errors import InputError
from model.fast.chunked import output_layer, scoring_labels
from model.fast.padding import padded
from model.frames.adapter import adapter_of

IGNORE = -100  # label of a position that is not scored


def collate(contexts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return right-padded ``ids`` and ``labels``, both ``(batch, length)``, to a length of :mod:`model.fast.padding`.

    ``labels[b, t]`` is the token after position ``t`` if that token belongs to the target, else ``IGNORE``.
    Right padding needs no attention mask: under causal attention no real position sees a later one.
    """
    longest = padded(max(len(c) + len(t) for c, t in zip(contexts, targets, strict=True)) - 1)
    ids = torch.zeros((len(contexts), longest), dtype=torch.long)  # any filler: nothing sees it
    labels = torch.full((len(contexts), longest), IGNORE)
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        sequence = torch.tensor([*context, *target])
        ids[row, : len(sequence) - 1] = sequence[:-1]
        labels[row, len(context) - 1 : len(sequence) - 1] = sequence[len(context) :]
    return ids, labels


def next_token_logits(
    model: torch.nn.Module,
    tokens: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    visible: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return float32 logits ``(batch, length, vocabulary)`` of the token after each position, on the model's device.

    Args:
        positions: ``(batch, length)`` of the tokens, if not one after another.
        visible: bool ``(batch, 1, length, length)``: which positions each one sees, if not all earlier ones.
    """
    return _logits(model, tokens, positions, visible).float()


def label_logprobs(
    model: torch.nn.Module,
    tokens: torch.Tensor,
    labels: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    visible: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return ``log p(label)`` at each position ``(batch, length)``, 0 where the label is ``IGNORE``.

    Where the vocabulary is large, no scores of all positions are held (:mod:`model.fast.chunked`). A frame-parallel
    policy has log-probabilities where it decides (:func:`decided`).

    Args: of :func:`next_token_logits`; labels: ``(batch, length)``.
    """
    frames = adapter_of(model)
    if frames is not None:
        return frames.label_logprobs(tokens, labels)
    labels = labels.to(next(model.parameters()).device)
    head = output_layer(model)
    if head is None:
        return token_logprobs(_logits(model, tokens, positions, visible).float(), labels)
    with scoring_labels(head, labels, labels != IGNORE):
        return _logits(model, tokens, positions, visible)


def decided(model: torch.nn.Module, labels: torch.Tensor) -> torch.Tensor:
    """Return which labels ``(batch, length)`` a policy decides: what its log-probabilities are averaged over.

    A model of one token stream decides all of them. A frame-parallel one may leave books to another decoder.
    """
    frames = adapter_of(model)
    return labels != IGNORE if frames is None else frames.decided(labels)


def _logits(
    model: torch.nn.Module, tokens: torch.Tensor, positions: torch.Tensor | None, visible: torch.Tensor | None
) -> torch.Tensor:
    first = next(model.parameters())
    given: dict[str, torch.Tensor] = {}
    if positions is not None:
        given["position_ids"] = positions.to(first.device)
    if visible is not None:
        _check_window(model, visible.shape[-1])
        # As what is added to the scores, which every kind of attention takes.
        hidden = torch.zeros(visible.shape, dtype=first.dtype, device=first.device)
        given["attention_mask"] = hidden.masked_fill_(~visible.to(first.device), torch.finfo(first.dtype).min)
    return model(input_ids=tokens.to(first.device), use_cache=False, **given).logits


def _check_window(model: torch.nn.Module, length: int) -> None:
    """Refuse rows longer than a model's attention window: positions that are given by hand would see past it."""
    config = getattr(getattr(model, "module", model), "config", None)
    window = getattr(config.get_text_config(), "sliding_window", None) if config else None
    if window and length > window:
        raise InputError(
            f"the policy attends to the last {window} tokens, but a context with both sides of its pair has {length}; "
            "take shorter texts, or a method without pairs (rejection, grpo)"
        )


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
