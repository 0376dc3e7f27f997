"""How far a policy has moved from the one it started from, and how much of that a temperature explains.

Alignment may make a policy no better and only less random. Sampling the start at a lower temperature does that too,
without training. So the change is measured as the Kullback-Leibler divergence KL(policy || start), and the start is
given the one temperature that brings it closest to the policy. What divergence is then left, no temperature gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from model.drawable import Drawable
from model.frames.adapter import adapter_of
from model.objectives.logprobs import IGNORE, collate, next_token_logits

LOWEST, HIGHEST = 0.05, 20.0  # temperatures to look for
STEPS = 40
CLOSE = 1e-5  # of the temperature's logarithm
NO_CHANGE = 1e-7  # nats per token: less is rounding


@dataclass(frozen=True)
class Change:
    """Divergence from the start policy.

    ``share`` is the part of ``kl`` that vanishes when the start is sampled at ``temperature``. A policy that did not
    move has temperature 1 and share 0.
    """

    kl: float  # nats per token
    temperature: float
    share: float


def code_logprobs(
    model: PreTrainedModel,
    contexts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    drawable: Drawable,
    batch_size: int = 16,
) -> torch.Tensor:
    """Return log-probabilities ``(positions, drawable)`` of the stops and every code at each position of targets.

    They are normalized over what the sampler may draw, which leaves out text. Of a frame-parallel policy they are those
    of one book's codes, at each place that the policy decides.
    """
    ids = [*drawable.stops, *drawable.codes]
    frames, parts = adapter_of(model), []
    with torch.inference_mode():
        for first in range(0, len(contexts), batch_size):
            if frames is not None:
                part = slice(first, first + batch_size)
                parts.append(frames.code_logprobs(contexts[part], targets[part], drawable.codes))
                continue
            tokens, labels = collate(contexts[first : first + batch_size], targets[first : first + batch_size])
            logits = next_token_logits(model, tokens)
            parts.append(logits[labels.to(logits.device) != IGNORE][:, ids].log_softmax(dim=-1))
    return torch.cat(parts)


def entropy(logprobs: torch.Tensor) -> float:
    """Return the mean entropy in nats per token of log-probabilities ``(positions, tokens)``."""
    return float(-(logprobs.exp() * logprobs).sum(dim=-1).mean())


def change(policy: torch.Tensor, start: torch.Tensor) -> Change:
    """Return the change from ``start`` to ``policy``: their log-probabilities ``(positions, tokens)``, none infinite.

    With inverse temperature b the divergence is mean(log Z(b)) - b E_p[l] - H(p), where l is the start's
    log-probability, Z(b) the sum of exp(b l) over tokens, and E_p the mean over the policy's tokens. It is convex in b
    with derivative mean(E_q(b)[l]) - E_p[l], so Newton's method inside a shrinking bracket finds the least.
    """
    probabilities = policy.exp()
    negative_entropy = float((probabilities * policy).sum(dim=-1).mean())
    expected = float((probabilities * start).sum(dim=-1).mean())
    kl = negative_entropy - expected
    if kl < NO_CHANGE:
        return Change(max(kl, 0.0), 1.0, 0.0)
    low, high, b = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(STEPS):
        tempered = (b * start).softmax(dim=-1)
        mean = (tempered * start).sum(dim=-1)
        slope = float(mean.mean()) - expected
        low, high = (low, b) if slope > 0 else (b, high)
        curvature = float(((tempered * start.square()).sum(dim=-1) - mean.square()).mean())
        step = b - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else math.sqrt(low * high)
        if abs(math.log(following / b)) < CLOSE:
            break
        b = following
    left = negative_entropy - b * expected + float((b * start).logsumexp(dim=-1).mean())
    return Change(kl, 1 / b, 1 - left / kl)
