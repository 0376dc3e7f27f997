"""``align.method`` → the class that trains it. The equations are in :mod:`model.objectives`, one module each."""

from __future__ import annotations

from model.objectives.pairwise import PAIRWISE_LOSSES
from tasks.align.best_of_n import BestOfN
from tasks.align.grpo import Grpo
from tasks.align.kto import Kto
from tasks.align.method import Method
from tasks.align.pairwise import Pairwise
from tasks.align.ppo import Ppo
from tasks.align.supervised import ChainOfHindsight, ContinuedSft, RejectionSampling

METHODS: dict[str, type[Method]] = {
    **dict.fromkeys(PAIRWISE_LOSSES, Pairwise),
    "kto": Kto,
    "coh": ChainOfHindsight,
    "rejection": RejectionSampling,
    "sft": ContinuedSft,
    "ppo": Ppo,
    "grpo": Grpo,
    "best_of_n": BestOfN,
}
