"""Golden utterances as AR sequences, and the loss on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.batch import Batch
from model.objectives.logprobs import IGNORE, collate, next_token_logits, token_logprobs
from model.tokens import Vocabulary
from model.training import length_buckets
from tasks.common.utterances import Utterances


class Sequences:
    """Golden utterances as AR sequences, each after a random crop of another by the speaker."""

    def __init__(self, golden: Utterances, vocabulary: Vocabulary, prompt_frames: int):
        self.golden, self.vocabulary, self.prompt_frames = golden, vocabulary, prompt_frames
        self.lengths = golden.texts.lengths() + golden.frames + (prompt_frames + 3)

    def drawn(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
        """Return utterances, each with the level-1 codes of a random voice prompt."""
        return [(i, self.golden.random_prompt(i, self.prompt_frames, rng)[0]) for i in indices]

    def batch(self, drawn: Sequence[tuple[int, np.ndarray]]) -> Batch:
        """Return utterances with their prompts padded together; the weight counts the tokens to predict."""
        golden, vocabulary = self.golden, self.vocabulary
        contexts = [vocabulary.context(golden.texts[i], prompt) for i, prompt in drawn]
        tokens, labels = collate(contexts, [vocabulary.target(golden.level1(i)) for i, _ in drawn])
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
