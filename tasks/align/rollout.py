"""PPO's rollouts: the policy reads train texts, and every token of what it wrote gets an advantage and a return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.actor_critic import ActorCritic
from model.objectives.advantages import generalized_advantages, whiten
from model.objectives.logprobs import IGNORE, collate
from model.objectives.ppo import token_rewards
from model.pairs.sequences import sequences_of
from model.reward import RewardModel, score
from model.sampling import Request, sample
from tasks.align.grid import off_grid, on_grid, target_logprobs
from tasks.align.job import Job
from tasks.align.pairwise import names
from tasks.align.schedule import passes, split
from tasks.common.decoding import decoding_of
from tasks.common.params.aligning import Ppo
from tasks.common.prompts import Prompts


@dataclass(frozen=True)
class Episode:
    """One sampled utterance. The tensors hold a number for each token of the target."""

    id: str
    context: list[int]
    target: list[int]
    old: torch.Tensor  # log-probabilities under the policy that sampled
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    score: float  # of the reward model, normalised
    kl: float  # log-ratio to the reference, summed over the tokens, in nats


@torch.no_grad()
def reckon(
    model: ActorCritic, reference: torch.nn.Module, episodes: list[Episode], p: Ppo, batch_size: int
) -> list[Episode]:
    """The same episodes with values, advantages (normalised over all their tokens) and returns."""
    contexts, targets = [e.context for e in episodes], [e.target for e in episodes]
    anchors = target_logprobs(reference, contexts, targets, batch_size)
    device = next(model.parameters()).device
    done: list[Episode] = []
    for part in split(list(zip(episodes, anchors, strict=True)), batch_size):
        members = [e for e, _ in part]
        tokens, labels = collate([e.context for e in members], [e.target for e in members])
        old, anchor = on_grid([e.old for e in members], labels), on_grid([a for _, a in part], labels)
        mask = labels != IGNORE
        values = model(tokens.to(device))[1].cpu()
        rewards = token_rewards(torch.tensor([e.score for e in members]), old, anchor, mask, p.kl_weight)
        advantages = generalized_advantages(rewards, values, mask, p.gae_lambda)
        rows = [off_grid(x, labels) for x in (values, advantages, advantages + values)]
        done += [
            replace(e, old_values=v, advantages=a, returns=r, kl=float((e.old - anchor).sum()))
            for (e, anchor), v, a, r in zip(part, *rows, strict=True)
        ]
    whitened = whiten(torch.cat([e.advantages for e in done])).split([len(e.target) for e in done])
    return [replace(e, advantages=a) for e, a in zip(done, whitened, strict=True)]


def roller(job: Job, model: ActorCritic, reward: RewardModel) -> Callable[[int], list[Episode]]:
    """A function of a rollout's number: the policy as it is at the call reads that rollout's texts."""
    p, rows, vocabulary, seed = job.settings.ppo, job.train, job.vocabulary, job.params.seed
    prompts, prompt_frames, batch_size = Prompts(rows), job.params.prompt_frames, job.params.decoding.batch_size
    decoding = decoding_of(job.params)
    reference = job.reference()
    center, scale = spread_of(reward, job)
    rng = np.random.default_rng([seed, 8, *job.iteration.encode()])
    drawn = passes(len(rows), p.rollouts * p.prompts, rng)

    def roll(number: int) -> list[Episode]:
        own = np.random.default_rng([seed, 9, *job.iteration.encode(), number])
        ids, requests = [], []
        for index in drawn[number * p.prompts : (number + 1) * p.prompts]:
            voice = rows[prompts.other(index, own)]["codes"][0][:prompt_frames]
            context = tuple(vocabulary.context(rows[index]["text"], voice))
            ids.append(rows[index]["id"])
            requests.append(Request(context, decoding.max_frames(rows[index]["text"]), int(own.integers(2**62))))
        training = model.training
        model.eval()
        sampled = sample(job.ar, requests, decoding, batch_size)
        contexts = [list(r.context) for r in requests]
        targets = [vocabulary.target(s.tokens.tolist(), s.finished) for s in sampled]
        scores = (score(reward, list(zip(contexts, targets, strict=True)), ids, batch_size) - center) / scale
        none = torch.empty(0)
        episodes = [
            Episode(id_, context, target, torch.from_numpy(s.logprobs), none, none, none, float(points), 0.0)
            for id_, context, target, s, points in zip(ids, contexts, targets, sampled, scores, strict=True)
        ]
        episodes = reckon(model, reference, episodes, p, batch_size)
        model.train(training)
        return episodes

    return roll


def spread_of(reward: RewardModel, job: Job) -> tuple[float, float]:
    """Mean and standard deviation of the rewards of both sides of the pairs: a reward's zero and scale are free."""
    sequences = list(zip(*sequences_of(job.pairs, job.vocabulary), strict=True))
    rewards = score(reward, sequences, names(job.pairs) * 2, job.params.decoding.batch_size)
    return float(rewards.mean()), max(float(rewards.std()), 1e-6)
