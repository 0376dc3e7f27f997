"""Level-1 tokens in the NAR's representation: one vector per utterance.

The NAR was trained on golden level-1 tokens and gets sampled ones, so the gap that matters lies in its representation.
Its state before the head of level 2 depends on the level-1 tokens and the voice prompt alone; higher levels also depend
on its own predictions. The state is averaged over frames, which removes length: durations are compared separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from model import nar as nar_lib
from model.errors import InputError

FIRST_PREDICTED = 1  # index of the level whose only input is level 1


@torch.inference_mode()
def pooled(
    nar: nar_lib.Nar, level1: Sequence[torch.Tensor], prompts: Sequence[torch.Tensor], batch_size: int = 64
) -> np.ndarray:
    """Return mean states ``(utterances, width)`` of level-1 codes ``(frames,)`` and prompts ``(levels, frames)``.

    Raises:
        InputError: an utterance without frames, which has no state.
    """
    if empty := [i for i, codes in enumerate(level1) if not len(codes)]:
        raise InputError(f"{len(empty)} utterances have no level-1 tokens (the first is number {empty[0]})")
    device = next(nar.parameters()).device
    vectors = np.empty((len(level1), nar.config.width))
    order = sorted(range(len(level1)), key=lambda i: len(level1[i]))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        codes, lengths = nar_lib.pad_codes([level1[i].long().unsqueeze(0) for i in chosen])
        prompt, prompt_lengths = nar_lib.pad_codes([prompts[i].long() for i in chosen])
        codes, lengths = codes.to(device), lengths.to(device)
        voice = nar.encode_prompt(prompt.to(device), prompt_lengths.to(device))
        hidden = nar.states(codes, lengths, voice, FIRST_PREDICTED)
        real = torch.arange(codes.shape[-1], device=device) < lengths[:, None]
        means = (hidden * real.unsqueeze(-1)).sum(dim=1) / lengths.unsqueeze(-1)
        vectors[chosen] = means.double().cpu().numpy()
    return vectors


@dataclass(frozen=True)
class Basis:
    """Principal directions of a reference set, which project every iteration's vectors alike."""

    center: np.ndarray  # (width,)
    directions: np.ndarray  # (width, dimensions)

    @classmethod
    def fit(cls, reference: np.ndarray, dimensions: int) -> Basis:
        """Return the ``dimensions`` directions of most variance of ``reference (utterances, width)``.

        Coordinates are in units of the reference's total standard deviation: the root of its variance, summed over the
        width. Distances then compare between models of other widths and scales.

        Raises:
            InputError: too few utterances for so many dimensions.
        """
        if len(reference) <= dimensions or dimensions > reference.shape[1]:
            raise InputError(
                f"{len(reference)} reference utterances of width {reference.shape[1]} cannot span {dimensions} "
                "dimensions; expected more utterances than dimensions: lower gap.dimensions"
            )
        center = reference.mean(axis=0)
        _, _, rows = np.linalg.svd(reference - center, full_matrices=False)
        signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])  # SVD leaves the signs open
        spread = np.sqrt(reference.var(axis=0).sum())
        return cls(center, (rows * signs[:, None])[:dimensions].T / spread)

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return coordinates ``(utterances, dimensions)``."""
        return (vectors - self.center) @ self.directions
