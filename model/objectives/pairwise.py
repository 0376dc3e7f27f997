"""What every pairwise objective is given: log-probabilities of both sides under the policy and the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class PairLogprobs:
    """Sequence log-probabilities ``(batch,)``, summed over tokens and end mark, in nats.

    ``chosen_tokens`` and ``rejected_tokens`` ``(batch,)`` count what was summed; ``reward_gap`` ``(batch,)`` says by
    how much the chosen side was judged better, where a judge gave both sides a number.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    chosen_tokens: torch.Tensor | None = None
    rejected_tokens: torch.Tensor | None = None
    reward_gap: torch.Tensor | None = None

    @property
    def margin(self) -> torch.Tensor:
        """How much more than the reference the policy prefers the chosen side, in nats; 0 at step 0."""
        return (self.chosen - self.reference_chosen) - (self.rejected - self.reference_rejected)

    def per_token(self) -> PairLogprobs:
        """The same with every sum divided by its own side's tokens: length normalisation.

        Raises:
            ValueError: no token counts were given.
        """
        if self.chosen_tokens is None or self.rejected_tokens is None:
            raise ValueError("length normalisation needs chosen_tokens and rejected_tokens")
        return replace(
            self,
            chosen=self.chosen / self.chosen_tokens,
            rejected=self.rejected / self.rejected_tokens,
            reference_chosen=self.reference_chosen / self.chosen_tokens,
            reference_rejected=self.reference_rejected / self.rejected_tokens,
        )
