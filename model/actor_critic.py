"""The AR with a value head: what PPO trains."""

from __future__ import annotations

import torch
from torch import nn
from transformers import LlamaForCausalLM


class ActorCritic(nn.Module):
    """Shares the AR's body, so that training it trains the AR in place."""

    def __init__(self, ar: LlamaForCausalLM):
        super().__init__()
        self.ar = ar
        self.value = nn.Linear(ar.config.hidden_size, 1).to(ar.device)
        for parameter in self.value.parameters():
            nn.init.zeros_(parameter)  # predicts 0 at first, so it gives the body no gradient

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return next-token logits ``(batch, length, vocabulary)`` and the value ``(batch, length)`` of each state."""
        hidden = self.ar.model(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.ar.lm_head(hidden).float(), self.value(hidden).float()[..., 0]
