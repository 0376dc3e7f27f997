"""Training the reward model on the pairs: Best-of-N's whole work, and PPO's first half."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from model import policy
from model import reward as reward_lib
from model.objectives.reward_model import reward_loss
from model.pairs.sequences import sequences_of
from model.reward import RewardModel
from model.training import Optimization, TrainingError, fingerprint_of, fit
from tasks.align.job import Job, Plan
from tasks.align.pairwise import names
from tasks.align.schedule import schedule_of, split
from tasks.common import paths
from tasks.common.digests import md5
from tasks.common.progress import Bar


@dataclass
class Batch:
    """Chosen sequences, then rejected ones, whole and padded together; ``weight`` is the number of pairs."""

    ids: list[str]
    tokens: torch.Tensor
    last: torch.Tensor
    weight: float


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """The pairs' losses, summed.

    Raises:
        TrainingError: a reward that is not finite, even where the loss of its pair still is.
    """
    device = next(model.parameters()).device
    rewards = model(batch.tokens.to(device), batch.last.to(device))
    if not torch.isfinite(rewards).all():
        raise TrainingError(
            f"rewards of the batch of {list(batch.ids)} are not finite; lower align.reward_model.lr, or look at them"
        )
    chosen, rejected = rewards.chunk(2)
    losses = reward_loss(chosen, rejected)
    margin = chosen - rejected
    return losses.sum(), {"accuracy": (margin > 0).sum().item(), "margin": margin.sum().item()}


def plan_reward(job: Job) -> Plan:
    """The reward model, from a copy of the AR's body, trained on every pair ``align.reward_model.epochs`` times."""
    p, pairs, vocabulary = job.settings, job.pairs, job.vocabulary
    lengths = [len(x["chosen"]) + len(x["rejected"]) for x in pairs]
    schedule = schedule_of(lengths, p.reward_model.epochs, p.batch_pairs, job.params.seed)

    def batches(step: int) -> list[Batch]:
        made = []
        for part in split([pairs[i] for i in schedule[step]], p.micro_pairs):
            sequences = list(zip(*sequences_of(part, vocabulary), strict=True))
            made.append(Batch(names(part), *reward_lib.pad(sequences), float(len(part))))
        return made

    return Plan(RewardModel.from_policy(job.ar), len(schedule), batches, loss_of, lr=p.reward_model.lr)


def plan_best_of_n(job: Job) -> Plan:
    """The AR stays as it is: from now on it speaks ``n`` times, and the reward model keeps one."""
    plan = plan_reward(job)
    job.ar.config.best_of_n = job.settings.best_of_n.n

    def finish(folder: Path) -> None:
        assert isinstance(plan.model, RewardModel)
        reward_lib.save(plan.model, folder / reward_lib.FOLDER)

    return Plan(plan.model, plan.steps, plan.batches, plan.loss_of, finish=finish, lr=plan.lr)


def train_reward(job: Job) -> RewardModel:
    """The trained reward model, frozen. Resumes by itself; the same for the same pairs and settings."""
    p, plan, previous = job.settings, plan_reward(job), job.params.iteration(job.iteration).prev
    assert isinstance(plan.model, RewardModel)
    with Bar(f"align@{job.iteration} reward model", plan.steps) as bar:
        fit(
            plan.model,
            plan.batches,
            plan.loss_of,
            Optimization(p.reward_model.lr, plan.steps, p.warmup, 0.0, p.max_grad_norm),
            seed=job.params.seed,
            state_file=paths.STATE / f"reward-{job.iteration}.pt",
            fingerprint=fingerprint_of(
                p, job.params.seed, md5(paths.pairs(job.iteration)), policy.digest(paths.ar(previous))
            ),
            precision="no",
            cpu=job.device.type == "cpu",
            on_step=lambda step, m: bar.advance(note=f"loss {m['loss']:.3f}, accuracy {m['accuracy']:.2f}"),
        )
    return plan.model.requires_grad_(False)
