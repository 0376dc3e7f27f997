"""The reward model: one number that says how much a rendering of a text in a voice would be preferred.

A copy of the policy's body and a linear head on the last token of the sequence: the stop, or the last code of an
utterance that was cut off. Saved as ``config.json`` and ``model.safetensors``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from model import checkpoint
from model.errors import SpeechAlignError

MODEL_TYPE = "speechalign-reward"
FOLDER = "reward"  # its place inside the folder of a policy
Sequences = Sequence[tuple[Sequence[int], Sequence[int]]]  # context and target of each, as token ids


class RewardError(SpeechAlignError):
    """A reward that is not a finite number, so nothing may be learned from it or chosen by it."""


class RewardModel(nn.Module):
    """Rewards of whole sequences."""

    def __init__(self, body: PreTrainedModel):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.config.hidden_size, 1, bias=False)  # only differences count: no bias
        nn.init.zeros_(self.head.weight)  # no preference before the first step

    @classmethod
    def from_policy(cls, model: PreTrainedModel) -> RewardModel:
        """Return a model that starts from a copy of the policy's body; the policy is left as it is."""
        return cls(copy.deepcopy(model.base_model)).to(model.device).requires_grad_()

    def forward(self, input_ids: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Return rewards ``(batch,)``.

        Args:
            input_ids: ``(batch, length)``, right-padded. Padding changes nothing: no real position sees a later one.
            last: ``(batch,)``, position of each row's last token.
        """
        hidden = self.body(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.head(hidden[torch.arange(len(hidden), device=hidden.device), last]).float()[:, 0]


def pad(sequences: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
    """Return right-padded ``input_ids (batch, length)`` of context and target, and ``last (batch,)``."""
    joined = [torch.tensor([*context, *target]) for context, target in sequences]
    input_ids = nn.utils.rnn.pad_sequence(joined, batch_first=True, padding_value=0)  # any: nothing sees it
    return input_ids, torch.tensor([len(s) - 1 for s in joined])


@torch.inference_mode()
def score(model: RewardModel, sequences: Sequences, ids: Sequence[str], batch_size: int = 64) -> torch.Tensor:
    """Return rewards ``(n,)`` of sequences, float32 on the CPU, in the order given.

    Raises:
        RewardError: a reward that is not finite, with the ids of those that have one.
    """
    device = model.head.weight.device
    lengths = [len(context) + len(target) for context, target in sequences]
    order = sorted(range(len(sequences)), key=lambda i: lengths[i])
    rewards = torch.zeros(len(sequences))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        input_ids, last = pad([sequences[i] for i in chosen])
        rewards[chosen] = model(input_ids.to(device), last.to(device)).cpu()
    if bad := [name for name, reward in zip(ids, rewards, strict=True) if not torch.isfinite(reward)]:
        raise RewardError(
            f"the reward model gives {bad} rewards that are not finite; it is damaged or diverged: train it again with "
            "a lower align.reward_model.lr"
        )
    return rewards


def save(model: RewardModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``."""
    checkpoint.save(model, {"model_type": MODEL_TYPE, "body": model.body.config.to_dict()}, folder)


def load(folder: str | Path, device: str | torch.device = "cpu") -> RewardModel:
    """Load a reward model in evaluation mode.

    Raises:
        CheckpointError: no reward model there, or weights that do not fit the configuration.
    """
    folder = Path(folder)
    config = checkpoint.load_config(folder, "reward model", MODEL_TYPE, _config_of)
    model = checkpoint.built(lambda: RewardModel(AutoModel.from_config(config, dtype=torch.float32)), folder)
    return checkpoint.load_weights(model, folder).to(device)


def _config_of(body: dict[str, Any]) -> PretrainedConfig:
    return AutoConfig.for_model(**body)
