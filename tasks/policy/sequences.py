"""Golden utterances as AR sequences, and the loss on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.batch import Batch
from model.layouts.layout import Layout
from model.layouts.speech import VoicePrompt
from model.objectives.logprobs import IGNORE, collate, next_token_logits, token_logprobs
from model.training import length_buckets
from tasks.common.voices import Voices


class Sequences:
    """Golden utterances as AR sequences, each after a random crop of another by the speaker."""

    def __init__(self, voices: Voices, layout: Layout):
        self.golden, self.layout, self.voices = voices.golden, layout, voices
        self.lengths = self.golden.texts.lengths() + self.golden.frames + (voices.frames + 3)

    def drawn(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator) -> list[tuple[int, VoicePrompt]]:
        """Return utterances, each with a random voice prompt."""
        return [(i, self.voices.random_prompt(i, rng)) for i in indices]

    def batch(self, drawn: Sequence[tuple[int, VoicePrompt]]) -> Batch:
        """Return utterances with their prompts padded together; the weight counts the tokens to predict."""
        golden, layout = self.golden, self.layout
        contexts = [layout.context(golden.texts[i], prompt) for i, prompt in drawn]
        tokens, labels = collate(contexts, [layout.target(self.voices.speech(i)) for i, _ in drawn])
        ids, scored = [golden.ids[i] for i, _ in drawn], float((labels != IGNORE).sum())
        return Batch(ids=ids, weight=scored, tokens=tokens, labels=labels)


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Negative log-likelihood of the target tokens, in nats."""
    logits, labels = next_token_logits(model, batch["tokens"]), batch["labels"]
    correct = ((logits.argmax(-1) == labels) & (labels != IGNORE)).sum().item()
    return -token_logprobs(logits, labels).sum(), {"accuracy": float(correct)}


@torch.inference_mode()
def held_out_loss(model: torch.nn.Module, data: Sequences, capacity: int, seed: int) -> float:
    """Mean negative log-likelihood per token on another split, in nats."""
    rng, device = np.random.default_rng(seed), next(model.parameters()).device
    batches = [data.batch(data.drawn(indices, rng)) for indices in length_buckets(data.lengths.tolist(), capacity, rng)]
    return sum(loss_of(model, b.to(device))[0].item() for b in batches) / sum(b.weight for b in batches)
