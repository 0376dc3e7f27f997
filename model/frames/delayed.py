"""Policies that write all books by a delay pattern, through their own classes in transformers: Dia and MusicGen.

Every book is the policy here: a model has one head per book and no second decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DiaForConditionalGeneration, MusicgenForCausalLM, MusicgenForConditionalGeneration

from model.frames.delay import DelayPattern, delayed_logprobs, pad_steps


class Delayed(Protocol):
    """A model with a delay pattern."""

    pattern: DelayPattern
    model: Any

    def logits(self, texts: Sequence[Sequence[int]], steps: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, length, books, vocabulary)`` for every place of ``steps``, from the text and what is before.

        Args:
            texts: token ids of each text. steps: ``(batch, length, books)``.
        """


def logprobs(
    policy: Delayed, texts: Sequence[Sequence[int]], frames: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities ``(batch, length, books)`` of frames at their delayed steps, and which are scored.

    Args:
        texts: token ids of each text. frames: ``(frames, books)`` of each sequence.
    """
    steps = steps_of(policy.pattern, frames, policy.model.device)
    return delayed_logprobs(policy.pattern, policy.logits(texts, steps), steps)


def steps_of(pattern: DelayPattern, frames: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Return frames ``(frames, books)`` of each sequence at their delayed steps ``(batch, longest, books)``."""
    return pad_steps(pattern, [pattern.delay(one) for one in frames]).to(device)


class Dia:
    """Dia: an encoder of bytes, and a decoder of nine books.

    Args:
        called: a wrapper of the model that computes its forward pass, if there is one.

    Guided sampling mixes two passes, which is another distribution than the one that is scored here.
    """

    def __init__(self, model: DiaForConditionalGeneration, called: Any = None):
        decoder = model.config.decoder_config
        self.model, self.called = model, model if called is None else called
        self.pattern = DelayPattern(
            tuple(model.config.delay_pattern), decoder.bos_token_id, decoder.pad_token_id, decoder.eos_token_id
        )

    def logits(self, texts: Sequence[Sequence[int]], steps: torch.Tensor) -> torch.Tensor:
        ids, mask = padded(texts, steps.device)
        start = torch.full_like(steps[:, :1], self.pattern.bos)
        out = self.called(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.cat([start, steps[:, :-1]], dim=1),
            use_cache=False,
        ).logits
        return out.view(len(steps), steps.shape[2], steps.shape[1], -1).transpose(1, 2)


class Musicgen:
    """MusicGen and its relatives: each book one step after the one below it, no code that ends speech.

    The class's decoder alone (``MusicgenForCausalLM``) takes no text.
    """

    def __init__(self, model: MusicgenForConditionalGeneration | MusicgenForCausalLM):
        alone = isinstance(model, MusicgenForCausalLM)
        config = model.config if alone else model.config.decoder
        self.model, self.alone = model, alone
        # The one id beyond the codes stands before a book's first code and after its last.
        self.pattern = DelayPattern(tuple(range(config.num_codebooks)), config.pad_token_id, config.pad_token_id)

    def logits(self, texts: Sequence[Sequence[int]], steps: torch.Tensor) -> torch.Tensor:
        batch, length, books = steps.shape
        start = torch.full_like(steps[:, :1], self.pattern.bos)
        given = torch.cat([start, steps[:, :-1]], dim=1).transpose(1, 2).reshape(batch * books, length)
        if self.alone:
            out = self.model(input_ids=given, use_cache=False)
        else:
            ids, mask = padded(texts, steps.device)
            out = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=given, use_cache=False)
        return out.logits.view(batch, books, length, -1).transpose(1, 2)


def padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return texts padded on the right ``(batch, longest)``, and the mask."""
    rows = [torch.tensor(list(text), dtype=torch.long) for text in texts]
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device), mask.to(device)
