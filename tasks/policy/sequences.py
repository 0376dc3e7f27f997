"""Golden utterances as AR sequences, and the loss on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.batch import Batch
from model.errors import InputError
from model.layouts.layout import Layout
from model.layouts.speech import VoicePrompt
from model.objectives.logprobs import (
    IGNORE,
    collate,
    decided,
    label_logprobs,
    next_token_logits,
    token_logprobs,
)
from model.training import length_buckets
from tasks.common.voices import Voices


class Sequences:
    """Golden utterances as AR sequences, each after a random crop of another by the speaker.

    Args:
        prompt_loss: the voice prompt's codes are to be predicted too.
    """

    def __init__(self, voices: Voices, layout: Layout, prompt_loss: bool = False):
        self.golden, self.layout, self.voices, self.prompt_loss = voices.golden, layout, voices, prompt_loss
        characters, frames = self.golden.texts.lengths(), self.golden.frames
        # Of a prompt that is a whole utterance, nobody knows the length before it is drawn: as long as most, then.
        prompt = int(characters.mean() + frames.mean()) if voices.frames is None else voices.frames
        self.lengths = characters + frames + (prompt + 3)

    def drawn(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator) -> list[tuple[int, VoicePrompt]]:
        """Return utterances, each with a random voice prompt."""
        return [(i, self.voices.random_prompt(i, rng)) for i in indices]

    def batch(self, drawn: Sequence[tuple[int, VoicePrompt]]) -> Batch:
        """Return utterances with their prompts padded together; the weight counts the tokens to predict."""
        golden, layout = self.golden, self.layout
        contexts = [layout.context(golden.texts[i], prompt) for i, prompt in drawn]
        targets = [layout.target(self.voices.speech(i)) for i, _ in drawn]
        if self.prompt_loss:
            firsts = [first_prompt_code(context, layout) for context in contexts]
            targets = [context[n:] + target for n, context, target in zip(firsts, contexts, targets, strict=True)]
            contexts = [context[:n] for n, context in zip(firsts, contexts, strict=True)]
        tokens, labels = collate(contexts, targets)
        ids, scored = [golden.ids[i] for i, _ in drawn], float((labels != IGNORE).sum())
        return Batch(ids=ids, weight=scored, tokens=tokens, labels=labels)


def first_prompt_code(context: Sequence[int], layout: Layout) -> int:
    """Return where the codes begin with which a context ends.

    Raises:
        InputError: it ends with another token.
    """
    codes = layout.code_tokens.all
    before = [place for place, token in enumerate(context) if token not in codes]
    if before[-1] + 1 == len(context):
        raise InputError(
            f"sft_ar.prompt_loss is on, but in layout {layout.name} no voice prompt's codes stand at the end of the "
            "context; set it to false, or policy.layout to own_transcript"
        )
    return before[-1] + 1


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Negative log-likelihood of the target tokens, in nats."""
    logits, labels = next_token_logits(model, batch["tokens"]), batch["labels"]
    correct = ((logits.argmax(-1) == labels) & (labels != IGNORE)).sum().item()
    return -token_logprobs(logits, labels).sum(), {"accuracy": float(correct)}


@torch.inference_mode()
def held_out_loss(model: torch.nn.Module, data: Sequences, capacity: int, seed: int) -> float:
    """Mean negative log-likelihood per token on another split, in nats."""
    rng, device = np.random.default_rng(seed), next(model.parameters()).device
    total, scored = 0.0, 0
    for indices in length_buckets(data.lengths.tolist(), capacity, rng):
        batch = data.batch(data.drawn(indices, rng)).to(device)
        total -= label_logprobs(model, batch["tokens"], batch["labels"]).sum().item()
        scored += int(decided(model, batch["labels"]).sum())
    return total / scored
