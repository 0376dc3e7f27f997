"""The iteration's own samples with the judges' scores, in groups of one text in one voice: GRPO's rewards."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import torch

from model import policy
from model.objectives.advantages import group_advantages
from model.training import TrainingError
from tasks.align.method import Job, Row
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table, read_token_rows


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One sample to learn from; ``old`` are the log-probabilities of its target's tokens when it was sampled."""

    id: str
    context: list[int]
    target: list[int]
    old: torch.Tensor
    advantage: float
    reward: float


def reward_of(sample: Row, judgement: Row, similarity_weight: float) -> float:
    """Return ``-wer + similarity_weight * similarity``; a sample that was cut off or is empty has a WER of at least 1.

    Raises:
        TrainingError: a reward that is not finite.
    """
    wer = judgement["word_errors"] / judgement["words"] if judgement["words"] else math.nan
    if not sample["finished"] or not len(sample["tokens"]):
        wer = max(wer, 1.0)
    reward = -wer + similarity_weight * judgement["similarity"]
    if not math.isfinite(reward):
        raise TrainingError(
            f"the reward of sample {sample['id']}, draw {sample['draw']}, is {reward} ({judgement['word_errors']} word "
            f"errors in {judgement['words']} words, similarity {judgement['similarity']}); expected a finite number: "
            "judge the samples again (`prefer`)"
        )
    return reward


def groups_of(job: Job) -> list[list[Episode]]:
    """Return samples of the same text and voice prompt, with advantages: every group whose rewards differ.

    Raises:
        DataError: samples of another policy or without judgement, or no group whose rewards differ.
        TrainingError: a reward that is not finite.
    """
    samples = read_token_rows(paths.samples(job.iteration), schemas.SAMPLES)
    judged = read_table(paths.judgements(job.iteration), schemas.JUDGEMENTS)
    previous = policy.digest(paths.ar(job.params.iteration(job.iteration).prev))
    if other := {s["policy"] for s in samples} - {previous}:
        raise DataError(f"the samples come from the policy {sorted(other)}, not from {previous}: run `sample` again")
    by_sample = {(j["id"], j["draw"], j["seed"]): j for j in judged}
    if unjudged := [s["id"] for s in samples if (s["id"], s["draw"], s["seed"]) not in by_sample]:
        raise DataError(f"{len(unjudged)} samples have no judgement: {unjudged[:5]}; run `prefer` again")
    groups: dict[tuple[str, str], list[tuple[Row, float]]] = defaultdict(list)
    for s in samples:
        reward = reward_of(s, by_sample[s["id"], s["draw"], s["seed"]], job.align.grpo.similarity_weight)
        groups[s["id"], s["prompt_id"]].append((s, reward))
    train, kept = job.train_set, []
    for (_, prompt), members in groups.items():
        rewards = [reward for _, reward in members]
        advantages = group_advantages(torch.tensor(rewards, dtype=torch.float64))
        if advantages is None:
            continue
        context = train.context(text=members[0][0]["text"], voice=train.golden.find(prompt))
        episodes = []
        for (s, reward), advantage in zip(members, advantages.tolist(), strict=True):
            target, old = job.vocabulary.target(s["tokens"], s["finished"]), torch.tensor(s["logprobs"])
            if not target or len(target) != len(old):
                raise DataError(f"sample {s['id']} has {len(target)} tokens and {len(old)} log-probabilities")
            name = f"{s['id']}#{s['draw']}"
            scores = {"advantage": advantage, "reward": reward}
            episodes.append(Episode(id=name, context=context, target=target, old=old, **scores))
        kept.append(episodes)
    if not kept:
        raise DataError(
            f"iteration {job.iteration}: in none of {len(groups)} groups does a sample's reward differ from another's, "
            "so GRPO can learn nothing; raise sample.draws, sample.prompts or decoding.temperature"
        )
    return kept
