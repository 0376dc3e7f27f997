"""The adapter of CSM: its backbone is the policy, which decides book 0 of each frame and where speech ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from model.frames import scoring
from model.frames.adapter import Ids
from model.frames.backbone import train_backbone
from model.frames.books import Books
from model.frames.csm import frame_logprobs

if TYPE_CHECKING:
    from transformers import CsmForConditionalGeneration

    from model.drawable import Drawable
    from model.drawing import Decoding
    from model.sampling import Request, Sampled


class Csm:
    """See :class:`model.frames.adapter.FramePolicy`.

    Args:
        called: the model, or a wrapper of it that computes its forward pass.
    """

    def __init__(self, called: Any, model: CsmForConditionalGeneration, books: Books):
        self.called, self.model, self.books = called, model, books

    def room(self, context: Sequence[int], frames: int) -> int:
        return self.model.config.max_position_embeddings - len(self.books.fold(context)) - frames

    def sample_once(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        drawable: Drawable,
        batch_size: int,
        on_done: Callable[[int], None] | None,
    ) -> list[Sampled]:
        from model.frames.csm_sampling import sample  # which takes its records from model.sampling

        return sample(self.model, self.books, requests, decoding, drawable, batch_size, on_done)

    def decided(self, labels: torch.Tensor) -> torch.Tensor:
        return scoring.decided(self.books, labels)

    def label_logprobs(
        self, tokens: torch.Tensor, labels: torch.Tensor, side: torch.Tensor | None = None
    ) -> torch.Tensor:
        return scoring.label_logprobs(self.called, self.model, self.books, tokens, labels, side)

    def code_logprobs(self, contexts: Ids, targets: Ids, codes: Sequence[int]) -> torch.Tensor:
        return scoring.code_logprobs(self.model, self.books, contexts, targets, codes)

    def target_logprobs(self, contexts: Ids, targets: Ids) -> list[torch.Tensor]:
        return frame_logprobs(self.model, self.books, contexts, targets)

    def policy_part(self) -> torch.nn.Module:
        return self.model.backbone_model

    def train(self) -> None:
        train_backbone(self.model)
