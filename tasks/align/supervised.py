"""Training by likelihood: continued SFT (the control) and Chain of Hindsight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model.objectives.coh import BAD, GOOD
from model.objectives.logprobs import IGNORE, collate, sequence_logprobs
from model.tokens import Vocabulary
from tasks.align.job import Job, Plan
from tasks.align.pairwise import names
from tasks.align.schedule import passes, schedule_of, split
from tasks.common.prompts import Prompts


@dataclass
class Batch:
    """Padded sequences; ``weight`` is their number."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    weight: float


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean negative log-likelihood a token (nats) of each sequence, summed over sequences."""
    device = next(model.parameters()).device
    labels = batch.labels.to(device)
    scored = sequence_logprobs(model(input_ids=batch.tokens.to(device), use_cache=False).logits.float(), labels)
    nll = -scored / (labels != IGNORE).sum(dim=1)
    return nll.sum(), {"nll": nll.sum().item()}


def plan_hindsight(job: Job) -> Plan:
    """Both sides of every pair, each with its verdict before the text; from then on the policy is asked for good."""
    p, pairs = job.settings, job.pairs
    good, bad = (Vocabulary(job.vocabulary.codebook_size, prefix) for prefix in (GOOD, BAD))
    lengths = [len(x["chosen"]) + len(x["rejected"]) for x in pairs]
    schedule = schedule_of(lengths, p.epochs, p.batch_pairs, job.params.seed)

    def batches(step: int) -> list[Batch]:
        made = []
        for part in split([pairs[i] for i in schedule[step]], p.micro_pairs):
            contexts = [v.context(x["text"], x["prompt"]) for v in (good, bad) for x in part]
            targets = [good.target(x["chosen"], x["chosen_finished"]) for x in part]
            targets += [bad.target(x["rejected"], x["rejected_finished"]) for x in part]
            made.append(Batch(names(part) * 2, *collate(contexts, targets), 2.0 * len(part)))
        return made

    job.ar.config.text_prefix = GOOD
    return Plan(job.ar, len(schedule), batches, loss_of)


def plan_continued_sft(job: Job) -> Plan:
    """Golden utterances of the whole train split: as many steps, and sequences a step, as a pairwise method takes."""
    p, rows, vocabulary, seed = job.settings, job.train, job.vocabulary, job.params.seed
    prompts, prompt_frames = Prompts(rows), job.params.prompt_frames
    steps = len(schedule_of([0] * len(job.pairs), p.epochs, p.batch_pairs, seed))
    rng = np.random.default_rng([seed, 6, *job.iteration.encode()])
    drawn = passes(len(rows), steps * 2 * p.batch_pairs, rng)

    def batches(step: int) -> list[Batch]:
        members = drawn[step * 2 * p.batch_pairs : (step + 1) * 2 * p.batch_pairs]
        own = np.random.default_rng([seed, 7, step])
        made = []
        for part in split(members, 2 * p.micro_pairs):
            voices = [rows[prompts.other(i, own)]["codes"][0][:prompt_frames] for i in part]
            contexts = [vocabulary.context(rows[i]["text"], voice) for i, voice in zip(part, voices, strict=True)]
            targets = [vocabulary.target(rows[i]["codes"][0]) for i in part]
            made.append(Batch([rows[i]["id"] for i in part], *collate(contexts, targets), float(len(part))))
        return made

    return Plan(job.ar, steps, batches, loss_of)
