"""A second measure of voice: an x-vector model of ``transformers``, such as ``microsoft/wavlm-base-plus-sv``.

Published speaker similarities of speech synthesis are mostly cosines of a WavLM's x-vectors.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import check_finite
from model.errors import CheckpointError
from model.fast.parallel import with_shared_weights
from model.judges.published import check_reachable
from model.judges.waves import SAMPLE_RATE, audible


class XVectors:
    """An ``AutoModelForAudioXVector``, by folder or by name."""

    def __init__(self, name: str, device: str | torch.device = "cpu"):
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        check_reachable(name)
        try:
            self.extractor = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
            # Microsoft publishes WavLM's weights in PyTorch's format only; of it nothing but tensors is read.
            model = AutoModelForAudioXVector.from_pretrained(name, weights_only=True, trust_remote_code=False)
            self.model = model.float().eval().to(device)
        except (OSError, ValueError, KeyError, ImportError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(
                f"no speaker model {name}: expected a folder or name of transformers' AutoModelForAudioXVector; {first}"
            ) from error
        check_finite(self.model, Path(name))
        self.name = Path(name).name

    def for_thread(self) -> XVectors:
        """Return the measure for another thread; weights are shared."""
        other = copy.copy(self)
        other.model = with_shared_weights(self.model)
        return other

    @torch.inference_mode()
    def embed(self, waves: Sequence[np.ndarray]) -> np.ndarray:
        """Return unit vectors ``(n, d)`` of mono 16 kHz waveforms; a row of NaN for silence or too few samples.

        Each is embedded alone: padding changes what these models compute.
        """
        rows: list[np.ndarray | None] = []
        for wave in waves:
            samples = audible(wave)
            if samples is None or len(samples) < self._shortest:
                rows.append(None)
                continue
            inputs = self.extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(self.model.device)
            rows.append(torch.nn.functional.normalize(self.model(**inputs).embeddings[0], dim=0).cpu().numpy())
        size = int(self.model.config.xvector_output_dim)
        return np.stack([np.full(size, np.nan) if row is None else row for row in rows] or [np.zeros(size)])[
            : len(rows)
        ]

    @property
    def _shortest(self) -> int:
        """Samples without which the time-delay layers have no frame: they look at 15 and the encoder skips samples."""
        config = self.model.config
        context = sum(
            (kernel - 1) * dilation for kernel, dilation in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
        )
        # Two frames more: the standard deviation over time of one frame is not a number.
        return int(np.prod(config.conv_stride)) * (context + 3)
