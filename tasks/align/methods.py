"""``align.method`` → how it trains. The equations are in :mod:`model.objectives`, one module each."""

from __future__ import annotations

from collections.abc import Callable

from tasks.align import grpo, pairwise, ppo, reward, supervised, unpaired
from tasks.align.job import Job, Plan

PLANS: dict[str, Callable[[Job], Plan]] = {
    "dpo": pairwise.plan,
    "ipo": pairwise.plan,
    "rpo": pairwise.plan,
    "simpo": pairwise.plan,
    "kto": unpaired.plan,
    "coh": supervised.plan_hindsight,
    "sft": supervised.plan_continued_sft,
    "ppo": ppo.plan,
    "grpo": grpo.plan,
    "best_of_n": reward.plan_best_of_n,
}
