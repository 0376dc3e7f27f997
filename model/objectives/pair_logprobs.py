"""Log-probabilities of both sides of a pair under the policy and the reference: what every pairwise loss is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, kw_only=True)
class PairLogprobs:
    """Sequence log-probabilities ``(batch,)`` in nats, summed over a side's codes and its end mark.

    ``chosen_tokens`` and ``rejected_tokens`` ``(batch,)`` count what was summed. ``reward_gap`` ``(batch,)`` says by
    how much the chosen side was judged better, if a judge scored both sides.
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
        """Return the pairs with every sum divided by its own side's tokens: length normalization.

        Raises:
            ValueError: no token counts were given.
        """
        if self.chosen_tokens is None or self.rejected_tokens is None:
            raise ValueError("length normalization needs chosen_tokens and rejected_tokens")
        return replace(
            self,
            chosen=self.chosen / self.chosen_tokens,
            rejected=self.rejected / self.rejected_tokens,
            reference_chosen=self.reference_chosen / self.chosen_tokens,
            reference_rejected=self.reference_rejected / self.rejected_tokens,
        )
