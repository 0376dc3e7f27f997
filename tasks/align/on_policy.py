"""What PPO and GRPO have in common: rollouts of fresh samples, each learned from in a few steps.

A rollout is drawn from the policy of that moment, so training can be resumed between rollouts only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from model import lora, processes, sharding
from model.batch import Batch
from model.errors import TrainingError
from model.sampling import sample
from tasks.align.method import Job, Method
from tasks.align.schedule import chunks, passes, schedule_of
from tasks.common.decoding import decoding_of
from tasks.common.pool import Pool
from tasks.common.rows import Row


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One sampled utterance. A method adds what it learns from: rewards, advantages."""

    id: str  # of the text, with the number of the draw
    text: str
    prompt_id: str
    tokens: np.ndarray  # as sampled, without the stop
    finished: bool
    context: list[int]
    target: list[int]
    old: torch.Tensor  # log-probability of each token of the target under the policy that sampled


class OnPolicy(Method):
    """``rollouts`` rollouts of ``prompts`` texts, each with ``inner_epochs`` passes in steps of whole texts.

    Args:
        draws: samples of each text.
        texts_per_step: of which all draws are learned from together.
    """

    def __init__(self, job: Job, *, rollouts: int, prompts: int, draws: int, inner_epochs: int, texts_per_step: int):
        super().__init__(job)
        self.prompts, self.draws = prompts, draws
        self.pool = Pool(job.train_set.golden)
        rng = np.random.default_rng([job.params.seed, 8, *job.iteration.encode()])
        self.order = passes(items=len(self.pool), needed=rollouts * prompts, rng=rng)
        # Lengths of 0: steps are random, not of like length, because their gradients should not differ by length.
        self.schedules = [
            schedule_of([0] * prompts, epochs=inner_epochs, batch_size=texts_per_step, seed=job.params.seed + number)
            for number in range(rollouts)
        ]
        self.steps_per_rollout = len(self.schedules[0])
        self.steps = self.steps_per_rollout * rollouts
        self.current: tuple[int, list[list[Episode]]] | None = None  # what steps learn from, with its number

    def may_save(self, step: int) -> bool:
        return step % self.steps_per_rollout == 0

    def batches(self, step: int) -> list[Batch]:
        """Return this process's micro-batches of a step; the first step of a rollout samples it, each process a share.

        Raises:
            TrainingError: a step within a rollout that was not sampled by this process.
        """
        number, within = divmod(step, self.steps_per_rollout)
        if within == 0:
            training = self.model.training
            self.model.eval()
            with sharding.whole(self.model):
                self.current = (number, self.judged(self.sample(number), number))
            self.model.train(training)
        if self.current is None or self.current[0] != number:
            raise TrainingError(
                f"step {step + 1} belongs to rollout {number + 1}, whose policy is gone; train from the start"
            )
        episodes = [e for text in self.schedules[number][within] for e in self.current[1][text]]
        return processes.micro_batches(episodes, 2 * self.align.micro_pairs, self.batch)

    def texts(self, number: int) -> list[Row]:
        """Return the texts of a rollout: rows of ``schemas.TEXTS``."""
        return self.pool.rows(self.order[number * self.prompts : (number + 1) * self.prompts])

    def sample(self, number: int) -> list[list[Episode]]:
        """Return the samples of rollout ``number``, those of each text together, from the policy as it is now."""
        job, train, decoding = self.job, self.job.train_set, decoding_of(self.job.params)
        rng = np.random.default_rng([job.params.seed, 9, *job.iteration.encode(), number])
        drawn, requests = [], []
        for row in self.texts(number):
            prompt = train.voices.prompt_of(row["prompt_id"])
            request = job.policy.request(row["text"], prompt, decoding=decoding, seed=0)
            for draw in range(self.draws):
                seed = int(rng.integers(2**62))
                drawn.append({"id": f"{row['id']}#{draw}", "text": row["text"], "prompt_id": row["prompt_id"]})
                requests.append(replace(request, seed=seed))
        drawable, batch_size = job.layout.drawable, job.params.decoding.batch_size
        with lora.merged(job.ar):
            samples = processes.each(lambda own: sample(job.ar, own, decoding, drawable, batch_size), requests)
        episodes = [
            Episode(
                **about,
                tokens=s.tokens,
                finished=s.finished,
                context=list(request.context),
                target=s.target,
                old=torch.from_numpy(s.logprobs),
            )
            for about, request, s in zip(drawn, requests, samples, strict=True)
        ]
        return [list(group) for group in chunks(episodes, self.draws)]

    @abstractmethod
    def judged(self, groups: list[list[Episode]], number: int) -> list[list[Episode]]:
        """Return the rollout's samples with what is learned from them."""

    @abstractmethod
    def batch(self, episodes: Sequence[Episode]) -> Batch:
        """Return episodes padded together."""
