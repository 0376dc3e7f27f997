"""SNAC (arXiv 2410.14411): residual levels at different rates, as the package ``snac`` implements it."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from model.checkpoint import check_finite
from model.codecs.base import Codec
from model.config import read
from model.errors import CheckpointError

_GENERATOR = threading.Lock()  # PyTorch's is one per process
PICKLE, SAFE = "pytorch_model.bin", "model.safetensors"  # the authors publish the first; it is loaded weights_only


class Snac(Codec):
    """A ``snac.SNAC`` for inference. A frame is one code of level 1, two of level 2, four of level 3."""

    def __init__(self, model: Any):
        self.model = model
        self.device = next(model.parameters()).device
        self.sample_rate, self.codebook_size = model.sampling_rate, model.codebook_size
        strides = model.vq_strides
        self.hop_length = int(model.hop_length) * strides[0]
        self.n_codebooks = len(strides)
        self.codes_per_frame = tuple(strides[0] // stride for stride in strides)
        self.min_samples = 1

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> Snac:
        if importlib.util.find_spec("snac") is None:
            raise CheckpointError(f"the codec {name_or_path} needs a package that is missing; run: pip install snac")
        from snac import SNAC

        folder = Path(name_or_path) if Path(name_or_path).is_dir() else _fetch(name_or_path)
        try:
            model = SNAC(**read(folder / "config.json"))
            if (folder / SAFE).is_file():
                state = load_file(folder / SAFE)
            else:
                state = torch.load(folder / PICKLE, map_location="cpu", weights_only=True)
            model.load_state_dict(state)
        except Exception as error:  # a missing or damaged file, other fields, or weights of another shape
            raise CheckpointError(f"the SNAC in {folder} does not load: {error}") from error
        check_finite(model, folder)
        return cls(model.eval().to(device))

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        # Attention and the first level's stride make the package pad: what stands after the last frame is cut off.
        levels = self.model.encode(waves.unsqueeze(1))
        n = waves.shape[-1] // self.hop_length
        return self.rows([level[:, : n * k] for level, k in zip(levels, self.codes_per_frame, strict=True)])

    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        # The decoder adds noise from PyTorch's generator. Seeded per row, equal codes give equal samples in any batch.
        device = [self.device] if self.device.type == "cuda" else []
        waves = []
        for row in codes:
            with _GENERATOR, torch.random.fork_rng(devices=device):
                torch.manual_seed(0)
                waves.append(self.model.decode([level[None].contiguous() for level in self.levels(row)])[0, 0])
        return torch.stack(waves)


def _fetch(name: str) -> Path:
    """Return the folder of a published SNAC, downloaded.

    Raises:
        CheckpointError: the download failed.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", PICKLE]))
    except Exception as error:  # no network, no such name, a damaged cache
        raise CheckpointError(f"the published codec {name} could not be fetched: {error}") from error
