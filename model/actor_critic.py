"""The AR with a value head: what PPO trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from model.objectives.logprobs import label_logprobs

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ActorCritic(nn.Module):
    """Shares the AR's body, so that training it trains the AR in place."""

    def __init__(self, ar: PreTrainedModel):
        super().__init__()
        self.ar = ar
        self.value = nn.Linear(ar.config.hidden_size, 1).to(ar.device)
        for parameter in self.value.parameters():
            nn.init.zeros_(parameter)  # predicts 0 at first, so it gives the body no gradient

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``log p(label)``, as :func:`label_logprobs` does, and the value of each state, ``(batch, length)``."""
        hidden: list[torch.Tensor] = []
        hook = self.ar.get_output_embeddings().register_forward_pre_hook(lambda _module, given: hidden.append(given[0]))
        try:
            logprobs = label_logprobs(self.ar, tokens, labels)
        finally:
            hook.remove()
        return logprobs, self.value(hidden[0]).float()[..., 0]
