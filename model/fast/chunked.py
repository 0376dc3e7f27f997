"""Log-probabilities of given tokens without the scores of all others.

A vocabulary of 150,000 tokens means 0.6 MB of scores per position. A training step holds them several times over: as
scores, normalized, and as gradients. Here the model's own output layer computes log-probabilities of labels instead,
for one forward pass. It holds a few positions' scores at a time, and computes them again for the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.autograd.function import once_differentiable

LARGE = 8192  # tokens of a vocabulary from which on this is done
SCORES = 1 << 24  # numbers held at once: 64 MB in float32

_LAST: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # whether nothing follows a model's output layer


def output_layer(model: nn.Module) -> nn.Linear | None:
    """Return the output layer of a model with a large vocabulary, if that layer's scores are the model's own.

    Models that change the scores afterwards (soft capping, scaling) and adapted output layers give None, and so do
    small vocabularies: with those all scores are held.
    """
    inner: Any = getattr(model, "module", model)  # of a wrapper for several processes
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    if type(head) is not nn.Linear or head.out_features < LARGE:
        return None
    if inner not in _LAST:
        _LAST[inner] = _is_last(inner, head)
    return head if _LAST[inner] else None


@torch.no_grad()
def _is_last(model: Any, head: nn.Linear) -> bool:
    """Put scores of every size in the layer's place and see whether the model gives them back as they are."""
    made = torch.linspace(-1000, 1000, head.out_features, dtype=head.weight.dtype, device=head.weight.device)
    hook = head.register_forward_hook(lambda _module, _given, scores: made.to(scores.dtype).expand_as(scores))
    try:
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):  # dropout
            scores = model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False).logits
    finally:
        hook.remove()
    return scores.shape[-1] == len(made) and torch.equal(scores.float(), made.float().expand_as(scores))


@contextmanager
def scoring_labels(head: nn.Linear, labels: torch.Tensor, scored: torch.Tensor) -> Iterator[None]:
    """Let a model's ``logits`` be the log-probabilities of ``labels (batch, length)``: float32, 0 where not scored.

    Args:
        scored: booleans ``(batch, length)``.
    """
    before = vars(head).get("forward")  # model.fast.onednn gives layers a forward of their own

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        found = label_logprobs(hidden[scored], head.weight, head.bias, labels[scored])
        return torch.zeros(labels.shape, dtype=found.dtype, device=found.device).masked_scatter(scored, found)

    vars(head)["forward"] = forward
    try:
        yield
    finally:
        del vars(head)["forward"]
        if before is not None:
            vars(head)["forward"] = before


def label_logprobs(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """Return ``log softmax(hidden @ weight.T + bias)[labels]`` ``(positions,)``, in float32 or wider.

    Args:
        hidden: ``(positions, width)``; weight: ``(vocabulary, width)``; labels: ``(positions,)``.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        return _LabelLogprobs.apply(hidden, weight, bias, labels, dtype)


class _LabelLogprobs(torch.autograd.Function):
    """Products in ``dtype``; sums over the vocabulary and over positions in float32 or wider."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        narrow, parts = weight.to(dtype), _parts(len(labels), len(weight))
        found, totals = [], []
        for part in parts:
            scores = _scores(hidden[part].to(dtype), narrow, bias)
            totals.append(scores.logsumexp(dim=-1))
            found.append(scores.gather(1, labels[part, None])[:, 0] - totals[-1])
            del scores
        empty = hidden.new_zeros(0, dtype=torch.float32)
        ctx.dtype = dtype
        ctx.save_for_backward(hidden, weight, bias, labels, torch.cat(totals) if totals else empty)
        return torch.cat(found) if found else empty

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, labels, totals = ctx.saved_tensors
        to_hidden, to_weight, to_bias = ctx.needs_input_grad[:3]
        narrow = weight.to(ctx.dtype)
        for_hidden = torch.empty_like(hidden) if to_hidden else None
        for_weight = torch.zeros_like(weight, dtype=totals.dtype) if to_weight else None
        for_bias = torch.zeros_like(bias, dtype=totals.dtype) if to_bias else None
        for part in _parts(len(labels), len(weight)):
            given = hidden[part].to(ctx.dtype)
            scores = _scores(given, narrow, bias)
            # d log p(label) / d scores = one-hot(label) - p, in the memory of the scores
            by_score = scores.sub_(totals[part, None]).exp_().mul_(-gradient[part, None])
            by_score.scatter_add_(1, labels[part, None], gradient[part, None])
            product = by_score.to(ctx.dtype)
            if for_hidden is not None:
                for_hidden[part] = (product @ narrow).to(hidden.dtype)
            if for_weight is not None and product.dtype == for_weight.dtype:
                for_weight.addmm_(product.t(), given)
            elif for_weight is not None:
                for_weight += product.t() @ given
            if for_bias is not None:
                for_bias += by_score.sum(dim=0)
            del scores, by_score, product
        return for_hidden, _like(for_weight, weight), _like(for_bias, bias), None, None


def _parts(positions: int, vocabulary: int) -> list[slice]:
    size = max(1, SCORES // vocabulary)
    return [slice(first, first + size) for first in range(0, positions, size)]


def _scores(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    scores = hidden @ weight.t()
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores if bias is None else scores.add_(bias)


def _like(gradient: torch.Tensor | None, parameter: torch.Tensor) -> torch.Tensor | None:
    return None if gradient is None else gradient.to(parameter.dtype)
