"""What every method is given (:class:`Job`) and what it makes of it (:class:`Plan`), which the stage then trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from model import policy
from model.fast.onednn import use_onednn
from model.tokens import Vocabulary
from model.training import LossFunction, MicroBatch
from tasks.common import paths, schemas
from tasks.common.files import read_table
from tasks.common.params import Params
from tasks.common.params.aligning import Align

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One iteration to align: the policy to train (in place), its pairs, and the settings."""

    ar: LlamaForCausalLM
    pairs: list[Row]  # of schemas.PAIRS, checked
    params: Params
    iteration: str
    device: torch.device

    @property
    def settings(self) -> Align:
        return self.params.align

    @property
    def beta(self) -> float:
        return self.params.iteration(self.iteration).beta

    @property
    def vocabulary(self) -> Vocabulary:
        return policy.vocabulary_of(self.ar)

    @cached_property
    def train(self) -> list[Row]:
        """Golden utterances of the train split: rows of schemas.CODES."""
        return read_table(paths.codes("train"), schemas.CODES)

    def reference(self) -> LlamaForCausalLM:
        """A frozen copy of the reference policy: the previous one, or the SFT policy (``prefer.reference``)."""
        anchor = self.params.iteration(self.iteration).prev if self.params.prefer.reference == "previous" else "0"
        return use_onednn(policy.load(paths.ar(anchor), self.device)).requires_grad_(False)


@dataclass(frozen=True)
class Plan:
    """What to train, on what, by which loss: arguments of :func:`model.training.fit`.

    ``finish`` adds to the new policy's folder what else it needs to speak (Best-of-N: the reward model).
    """

    model: torch.nn.Module
    steps: int
    batches: Callable[[int], Sequence[MicroBatch]]
    loss_of: LossFunction
    may_save: Callable[[int], bool] = lambda step: True
    finish: Callable[[Path], None] = lambda folder: None
    lr: float | None = None  # other than align.lr
