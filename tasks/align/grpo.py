"""GRPO: fresh samples of each text in groups, rewarded by the judges of content and voice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from model import processes
from model.batch import Batch
from model.errors import TrainingError
from model.judges.panel import Judgement, Panel
from model.objectives.advantages import group_advantages
from model.objectives.grpo import grpo_loss, kl_estimate
from model.objectives.logprobs import collate, decided, label_logprobs
from model.training import Metrics
from model.voice import Voice
from tasks.align.grid import on_grid, target_logprobs
from tasks.align.method import Job
from tasks.align.on_policy import Episode, OnPolicy
from tasks.common import paths
from tasks.common.engine import Workers
from tasks.common.files import DataError
from tasks.common.finished import why_alike
from tasks.common.judging import Judging, SampleJudge
from tasks.common.utterances import Utterances


@dataclass(frozen=True, kw_only=True)
class Ranked(Episode):
    """A sample with its reward, and its advantage over the others of its text."""

    reference: torch.Tensor  # log-probabilities under the reference policy, as ``old``
    reward: float
    advantage: float


class Grpo(OnPolicy):
    """Steps of whole groups, with about as many sequences as a pairwise method's.

    Whole groups, because advantages add up to 0 only within a group: steps of long samples would push against length.
    """

    def __init__(self, job: Job):
        grpo = job.align.grpo
        super().__init__(
            job,
            rollouts=grpo.rollouts,
            prompts=grpo.prompts,
            draws=grpo.draws,
            inner_epochs=grpo.inner_epochs,
            texts_per_step=max(1, 2 * job.align.batch_pairs // grpo.draws),
        )
        self.reference = job.load_reference()

    @cached_property
    def judge(self) -> SampleJudge:
        """NAR, codec, recognizer and speaker encoder: those of ``prefer``."""
        params, device = self.job.params, self.job.device
        folder = paths.ar(params.iteration(self.job.iteration).prev)
        voice = Voice.load(folder, paths.NAR, params.models.codec, device, params.prompt_frames)
        prompts = self.pool.prompts(self.order)
        judging = Judging(voice, Panel(params.models.recognizer, device))
        return SampleJudge(params, Workers.here(params, judging, device), Utterances.read("train"), prompts)

    def judged(self, groups: list[list[Episode]], number: int) -> list[list[Episode]]:
        """Return the samples with rewards and advantages.

        Raises:
            DataError: in no group of the first rollout does a sample's WER differ from another's.
            TrainingError: a reward that is not finite.
        """
        episodes = [episode for group in groups for episode in group]
        judgements = processes.each(self.judge.judge, [vars(episode) for episode in episodes])
        wers = [wer_of(episode, judgement) for episode, judgement in zip(episodes, judgements, strict=True)]
        weight = self.align.grpo.similarity_weight
        voices = [weight * judgement.similarity if weight else 0.0 for judgement in judgements]
        rewards = [voice - wer for voice, wer in zip(voices, wers, strict=True)]
        for episode, reward in zip(episodes, rewards, strict=True):
            if not math.isfinite(reward):
                raise TrainingError(f"the reward of sample {episode.id} is {reward}; expected a finite number")
        by_group = torch.tensor(wers, dtype=torch.float64).view(-1, self.draws)
        ranked = by_group.amax(dim=1) > by_group.amin(dim=1)
        if number == 0 and not ranked.any():
            advice = why_alike([e.finished for e in episodes], wers, self.job.params)
            raise DataError(
                f"iteration {self.job.iteration}: in none of {len(groups)} groups does a sample's WER differ from "
                "another's, so GRPO can learn nothing; "
                + (advice or "raise align.grpo.draws or prompts, or take longer texts")
            )
        in_groups = torch.tensor(rewards, dtype=torch.float64).view(-1, self.draws)
        advantages = group_advantages(in_groups, ranked).flatten().tolist()
        reference = target_logprobs(
            self.reference,
            contexts=[episode.context for episode in episodes],
            targets=[episode.target for episode in episodes],
            batch_size=self.job.params.decoding.batch_size,
        )
        done: list[Episode] = [
            Ranked(**vars(episode), reference=anchor, reward=reward, advantage=advantage)
            for episode, anchor, reward, advantage in zip(episodes, reference, rewards, advantages, strict=True)
        ]
        return [done[first : first + self.draws] for first in range(0, len(done), self.draws)]

    def batch(self, episodes: Sequence[Ranked]) -> Batch:  # type: ignore[override]
        """Return samples padded together; the weight is their number, grids are 0 where nothing was sampled."""
        tokens, labels = collate([e.context for e in episodes], [e.target for e in episodes])
        return Batch(
            ids=[e.id for e in episodes],
            weight=float(len(episodes)),
            tokens=tokens,
            labels=labels,
            old=on_grid([e.old for e in episodes], labels),
            reference=on_grid([e.reference for e in episodes], labels),
            advantages=torch.tensor([e.advantage for e in episodes]),
            rewards=torch.tensor([e.reward for e in episodes]),
        )

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        """Return each sample's loss, summed over samples, so that splitting a step changes nothing."""
        old, reference, clip = batch["old"], batch["reference"], self.align.grpo.clip
        mask = decided(model, batch["labels"])
        logprobs = label_logprobs(model, batch["tokens"], batch["labels"])
        losses = grpo_loss(
            logprobs=logprobs,
            old_logprobs=old,
            reference=reference,
            advantages=batch["advantages"],
            mask=mask,
            clip=clip,
            kl_weight=self.align.grpo.kl_weight,
        )
        with torch.no_grad():
            tokens = mask.sum(dim=1)
            kl = kl_estimate(logprobs=logprobs, reference=reference)
            outside = ((logprobs - old).exp() - 1).abs() > clip
            metrics = {
                "reward": batch["rewards"].sum().item(),
                "ranked": (batch["advantages"] != 0).sum().item(),  # share of samples that say something
                "kl": (kl.sum(dim=1) / tokens).sum().item(),
                "clipped": ((outside & mask).sum(dim=1) / tokens).sum().item(),
            }
        return losses.sum(), metrics


def wer_of(episode: Episode, judgement: Judgement) -> float:
    """Return a sample's WER, at most 1: babble is no worse than silence, nor is a sample that did not end."""
    return min(1.0, judgement.wer) if episode.finished and len(episode.tokens) else 1.0
