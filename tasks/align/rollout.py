"""PPO's rollouts: the policy samples train texts, and every sampled token gets an advantage and a return."""

from __future__ import annotations

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
from tasks.align.method import Job, pair_ids
from tasks.align.schedule import chunks, passes
from tasks.common.decoding import decoding_of
from tasks.common.params.aligning import Ppo

NONE_YET = torch.empty(0)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One sampled utterance. The tensors hold one number per token of the target."""

    id: str
    context: list[int]
    target: list[int]
    old: torch.Tensor  # log-probabilities under the policy that sampled
    old_values: torch.Tensor = NONE_YET
    advantages: torch.Tensor = NONE_YET
    returns: torch.Tensor = NONE_YET
    score: float  # the reward model's, normalized
    kl: float = 0.0  # log-ratio to the reference, summed over the tokens, in nats


class Rollouts:
    """Samples of train texts, drawn from ``model``'s policy as it is at each call, and scored by ``reward``."""

    def __init__(self, job: Job, model: ActorCritic, reward: RewardModel):
        self.job, self.model, self.reward = job, model, reward
        self.train = job.train_set
        self.reference = job.load_reference()
        self.mean, self.std = reward_mean_and_std(reward, job)
        settings = job.align.ppo
        rng = np.random.default_rng([job.params.seed, 8, *job.iteration.encode()])
        self.drawn = passes(items=len(self.train.golden), needed=settings.rollouts * settings.prompts, rng=rng)

    def sample(self, number: int) -> list[Episode]:
        """Return the episodes of rollout ``number``, with advantages and returns."""
        job, batch_size = self.job, self.job.params.decoding.batch_size
        settings, decoding = job.align.ppo, decoding_of(job.params)
        rng = np.random.default_rng([job.params.seed, 9, *job.iteration.encode(), number])
        ids, requests = [], []
        for index in self.drawn[number * settings.prompts : (number + 1) * settings.prompts]:
            context = tuple(self.train.in_random_voice(index, rng))
            ids.append(self.train.golden.ids[index])
            requests.append(
                Request(context, decoding.max_frames(self.train.golden.texts[index]), int(rng.integers(2**62)))
            )
        training = self.model.training
        self.model.eval()
        samples = sample(job.ar, requests, decoding, batch_size)
        contexts = [list(request.context) for request in requests]
        targets = [job.vocabulary.target(s.tokens.tolist(), s.finished) for s in samples]
        rewards = score(self.reward, list(zip(contexts, targets, strict=True)), ids, batch_size)
        scores = (rewards - self.mean) / self.std
        episodes = [
            Episode(id=id_, context=context, target=target, old=torch.from_numpy(s.logprobs), score=float(points))
            for id_, context, target, s, points in zip(ids, contexts, targets, samples, scores, strict=True)
        ]
        episodes = with_advantages(
            episodes, model=self.model, reference=self.reference, ppo=settings, batch_size=batch_size
        )
        self.model.train(training)
        return episodes


@torch.no_grad()
def with_advantages(
    episodes: list[Episode], *, model: ActorCritic, reference: torch.nn.Module, ppo: Ppo, batch_size: int
) -> list[Episode]:
    """Return the episodes with values, returns, and advantages normalized over all their tokens."""
    anchors = target_logprobs(
        reference, contexts=[e.context for e in episodes], targets=[e.target for e in episodes], batch_size=batch_size
    )
    device = next(model.parameters()).device
    done: list[Episode] = []
    for part in chunks(list(zip(episodes, anchors, strict=True)), batch_size):
        members = [e for e, _ in part]
        tokens, labels = collate([e.context for e in members], [e.target for e in members])
        old, anchor = on_grid([e.old for e in members], labels), on_grid([a for _, a in part], labels)
        mask = labels != IGNORE
        values = model(tokens.to(device))[1].cpu()
        rewards = token_rewards(
            scores=torch.tensor([e.score for e in members]),
            logprobs=old,
            reference=anchor,
            mask=mask,
            kl_weight=ppo.kl_weight,
        )
        advantages = generalized_advantages(rewards=rewards, values=values, mask=mask, gae_lambda=ppo.gae_lambda)
        rows = [off_grid(grid, labels) for grid in (values, advantages, advantages + values)]
        done += [
            replace(e, old_values=v, advantages=a, returns=r, kl=float((e.old - anchor).sum()))
            for (e, anchor), v, a, r in zip(part, *rows, strict=True)
        ]
    whitened = whiten(torch.cat([e.advantages for e in done])).split([len(e.target) for e in done])
    return [replace(e, advantages=a) for e, a in zip(done, whitened, strict=True)]


def reward_mean_and_std(reward: RewardModel, job: Job) -> tuple[float, float]:
    """Return the mean and standard deviation of both sides' rewards, because a reward's zero and scale are free."""
    sequences = list(zip(*sequences_of(job.pairs, job.vocabulary), strict=True))
    rewards = score(reward, sequences, pair_ids(job.pairs) * 2, job.params.decoding.batch_size)
    return float(rewards.mean()), max(float(rewards.std()), 1e-6)
