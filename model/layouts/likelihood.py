"""Teacher-forced log-probabilities of a layout's sequences under any causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from model.errors import InputError
from model.frames.adapter import FramePolicy, adapter_of

MAX_TOKENS = 1024  # per forward pass: the logits of a vocabulary of 150,000 take 0.6 GB


@dataclass(frozen=True)
class TokenSequence:
    """What a model is given, and what it should write."""

    context: list[int]
    target: list[int]


@dataclass(frozen=True)
class Likelihood:
    """Log-probabilities (nats) of targets: ``totals (n,)``, ``lengths (n,)``, and of other last tokens ``(n, k)``."""

    totals: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]
    last: npt.NDArray[np.float64]  # of each target's own last token
    other_last: npt.NDArray[np.float64]  # of other tokens instead of it

    @property
    def per_token(self) -> npt.NDArray[np.float64]:
        return self.totals / self.lengths


@torch.inference_mode()
def token_logprobs(model: PreTrainedModel, sequences: Sequence[TokenSequence]) -> list[torch.Tensor]:
    """Return the log-probability of each target token, ``(len(target),)`` in float32 on the CPU, per sequence."""
    found: list[torch.Tensor] = [torch.zeros(0)] * len(sequences)
    for batch in _batches(sequences):
        logits = _target_logits(model, [sequences[i] for i in batch])
        for i, rows in zip(batch, logits, strict=True):
            wanted = torch.tensor(sequences[i].target, device=rows.device)
            found[i] = rows.log_softmax(-1).gather(1, wanted[:, None])[:, 0].cpu()
    return found


@torch.inference_mode()
def likelihood(
    model: PreTrainedModel, sequences: Sequence[TokenSequence], other_last: Sequence[int] = ()
) -> Likelihood:
    """Score targets.

    Args:
        other_last: tokens whose log-probability is wanted in place of each target's last token.

    Raises:
        InputError: an empty context or target, or a sequence that is longer than the model's positions.
    """
    frames = adapter_of(model)
    if frames is not None:
        return _of_frames(frames, sequences)
    limit = getattr(model.config, "max_position_embeddings", None)
    for sequence in sequences:
        n = len(sequence.context) + len(sequence.target)
        if not sequence.context or not sequence.target:
            raise InputError("a sequence needs a context and a target")
        if limit is not None and n > limit:
            raise InputError(f"a sequence of {n} tokens exceeds the model's {limit} positions; take shorter recordings")
    totals, last = np.zeros(len(sequences)), np.zeros(len(sequences))
    others = np.zeros((len(sequences), len(other_last)))
    for batch in _batches(sequences):
        logits = _target_logits(model, [sequences[i] for i in batch])
        for i, rows in zip(batch, logits, strict=True):
            logprobs = rows.log_softmax(-1)
            wanted = torch.tensor(sequences[i].target, device=rows.device)
            own = logprobs.gather(1, wanted[:, None])[:, 0].double()
            totals[i], last[i] = float(own.sum()), float(own[-1])
            others[i] = logprobs[-1, list(other_last)].double().cpu().numpy()
    return Likelihood(totals, np.asarray([len(s.target) for s in sequences]), last, others)


def _of_frames(model: FramePolicy, sequences: Sequence[TokenSequence]) -> Likelihood:
    """Score every book of the targets' frames; the last token is what ends the speech."""
    totals, last = np.zeros(len(sequences)), np.zeros(len(sequences))
    lengths = np.zeros(len(sequences), dtype=np.int64)
    for batch in _batches(sequences):
        chosen = [sequences[i] for i in batch]
        found = model.target_logprobs([s.context for s in chosen], [s.target for s in chosen])
        for i, logprobs in zip(batch, found, strict=True):
            if not len(logprobs):
                raise InputError("a sequence needs a context and a target")
            totals[i], last[i] = float(logprobs.double().sum()), float(logprobs[-1].double().sum())
            lengths[i] = logprobs.numel()
    return Likelihood(totals, lengths, last, np.zeros((len(sequences), 0)))


def _batches(sequences: Sequence[TokenSequence]) -> list[list[int]]:
    """Return indices of each forward pass: similar lengths together, at most MAX_TOKENS with padding, or one."""
    lengths = [len(s.context) + len(s.target) for s in sequences]
    batches: list[list[int]] = []
    for i in sorted(range(len(sequences)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= MAX_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _target_logits(model: PreTrainedModel, sequences: Sequence[TokenSequence]) -> list[torch.Tensor]:
    """Return float32 logits ``(len(target), vocabulary)`` that predict each target's tokens."""
    whole = [[*s.context, *s.target] for s in sequences]
    longest = max(map(len, whole))
    # Padding stands on the right, where a causal model does not see it: its token may be any.
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in whole], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in whole], device=model.device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [
        row[len(s.context) - 1 : len(s.context) + len(s.target) - 1].float()
        for row, s in zip(logits, sequences, strict=True)
    ]
