"""What is asked of the sampler, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model.stuck import is_stuck


@dataclass(frozen=True)
class Request:
    """One utterance to sample: token ids of the context, a limit of tokens and a seed."""

    context: tuple[int, ...]
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Sampled:
    """A sample in the policy's token ids, and two log-probabilities of each token and of the stop, if there is one.

    ``logprobs`` are the policy's own (temperature 1, whole vocabulary), as a teacher-forced pass gives them.
    ``behavior`` are those of the distribution that was drawn from: drawable tokens only, decoding applied.
    """

    tokens: np.ndarray  # int32 (tokens,), without the stop
    logprobs: np.ndarray  # float32 (tokens + 1 if finished else tokens,)
    behavior: np.ndarray  # float32, likewise
    finished: bool
    stop: int | None  # the token that ended it; None if it was cut off
    stuck: bool = False  # in a loop or silent (model.stuck), after all redraws
    redrawn: int = 0  # how often it was drawn again because it was stuck

    @property
    def target(self) -> list[int]:
        """Token ids with the stop, if there is one: what the log-probabilities belong to."""
        return self.tokens.tolist() if self.stop is None else [*self.tokens.tolist(), self.stop]

    @classmethod
    def of(
        cls,
        tokens: torch.Tensor,
        logprobs: torch.Tensor,
        behavior: torch.Tensor,
        finished: bool,
        silent: frozenset[int],
    ) -> Sampled:
        """Return the sample of a row: its tokens and their log-probabilities, each with the stop if there is one."""
        ids = tokens.to(torch.int32).numpy()
        without_stop = ids[: len(ids) - finished].copy()
        return cls(
            tokens=without_stop,
            logprobs=logprobs.numpy().copy(),
            behavior=behavior.numpy().copy(),
            finished=finished,
            stop=int(ids[-1]) if finished else None,
            stuck=is_stuck(without_stop, silent),
        )
