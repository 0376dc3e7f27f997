"""One piece of a training step, for every model that is trained here."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Batch:
    """Items padded together: their ids, their weight, and tensors by name.

    Sequences are ``tokens (batch, length)``, which the model reads, and ``labels (batch, length)``, which it has to
    predict (:func:`model.objectives.logprobs.collate`). A method adds by name what else its loss needs. A loss is a
    sum over items; the training loop divides it by the summed weights of the step's batches (pairs, samples, tokens).
    """

    counts = True  # False: its loss and metrics are multiplied by 0

    def __init__(self, *, ids: Sequence[str], weight: float, **tensors: torch.Tensor):
        self.ids, self.weight, self.tensors = list(ids), weight, tensors

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on ``device``."""
        moved = Batch(ids=self.ids, weight=self.weight, **{name: t.to(device) for name, t in self.tensors.items()})
        moved.counts = self.counts
        return moved

    def uncounted(self) -> Batch:
        """Return the batch with no weight, for a process that has no items in a step."""
        batch = Batch(ids=self.ids, weight=0.0, **self.tensors)
        batch.counts = False
        return batch
