"""What a frame-parallel policy does in its own way: one adapter per family, found by the model's class.

Stages and trainers hold token ids in any case. They ask :func:`adapter_of` through the functions that take a model
(:func:`model.sampling.sample`, :func:`model.objectives.logprobs.label_logprobs`, …) and never name a family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from model.frames.families import family_of

if TYPE_CHECKING:
    import torch

    from model.drawable import Drawable
    from model.drawing import Decoding
    from model.sampling import Request, Sampled

Ids = Sequence[Sequence[int]]  # token ids of several sequences


class FramePolicy(Protocol):
    """A model that writes whole frames. Contexts and targets are token ids, targets with the stop if there is one."""

    def room(self, context: Sequence[int], frames: int) -> int:
        """Return how many positions are left after a context and so many frames; below 0: there is no room."""

    def sample_once(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        drawable: Drawable,
        batch_size: int,
        on_done: Callable[[int], None] | None,
    ) -> list[Sampled]:
        """Return one sample per request, in the order given.

        Raises:
            InputError: a context without room, log-probabilities that are not finite, or another stop than the model's.
        """

    def decided(self, labels: torch.Tensor) -> torch.Tensor:
        """Return which labels ``(batch, length)`` the policy decides; the rest is filled in by what is not trained."""

    def label_logprobs(
        self, tokens: torch.Tensor, labels: torch.Tensor, side: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``log p(label)`` ``(batch, length)`` where the policy decides, 0 elsewhere.

        Args:
            tokens, labels: as of :func:`model.objectives.logprobs.label_logprobs`.
            side: of :func:`model.fast.shared_context.collate_pairs`, if rows hold both sides of a pair.

        Raises:
            InputError: labels that are no frames, or a sequence that is longer than the model's positions.
        """

    def code_logprobs(self, contexts: Ids, targets: Ids, codes: Sequence[int]) -> torch.Tensor:
        """Return log-probabilities ``(places, codes of a book)`` at each place of the targets that the policy decides.

        Args:
            codes: token ids that may be drawn, of every book.
        """

    def target_logprobs(self, contexts: Ids, targets: Ids) -> list[torch.Tensor]:
        """Return the log-probability of everything that is written, by whichever part, on the CPU.

        The last entry of each target's tensor belongs to the stop.
        """

    def policy_part(self) -> torch.nn.Module:
        """Return the part that is the policy, and is trained."""

    def train(self) -> None:
        """Freeze what is not the policy, and let the rest be trained."""


def adapter_of(model: Any) -> FramePolicy | None:
    """Return the adapter of a frame-parallel model, also within a wrapper; None for a model of one token stream.

    A wrapper (several processes, adapters switched off) computes the forward passes.

    Raises:
        CheckpointError: a configuration that the family cannot have.
    """
    inner = getattr(model, "module", model)
    family = family_of(str(getattr(getattr(inner, "config", None), "model_type", "")))
    return None if family is None else family.adapter(model, inner)
