"""A small random codec of another package, whose decoder takes a voice; and that package, installed in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.codecs.voiced import VoicedCodec

RATE, HOP, SIZE = 8000, 160, 16


class TinyVoiced(VoicedCodec):
    """Codes are the nearest of random frames; the voice is the frames' mean, as codes or as it is."""

    def __init__(self, fields: dict, weights: dict[str, torch.Tensor], device: str | torch.device):
        self.sample_rate, self.hop_length = fields["sample_rate"], HOP
        self.n_codebooks, self.codebook_size = fields["n_codebooks"], fields["codebook_size"]
        self.device, self.voice_codes = torch.device(device), fields["voice_codes"]
        self.frames = weights["frames"].to(device)  # (codes, hop)

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> TinyVoiced:
        folder = Path(name_or_path)
        return cls(json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors"), device)

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        cut = waves.reshape(len(waves), -1, HOP)
        return torch.cdist(cut, self.frames.expand(len(waves), -1, -1)).argmin(-1)[:, None]

    def encode_voice(self, wave: torch.Tensor) -> Sequence[float]:
        energy = wave[: len(wave) // 32 * 32].reshape(32, -1).abs().mean(-1)
        if not self.voice_codes:
            return energy[:4].tolist()
        return (energy * 4095).round().clamp(0, 4095).tolist()

    def decode_voice(self, codes: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
        return (self.frames[codes[0]] * (0.1 + voice.mean() / (4095 if self.voice_codes else 1))).reshape(-1)


def save(kind: str, folder: Path, voice_codes: bool) -> Path:
    """Write a random codec of this kind and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"sample_rate": RATE, "n_codebooks": 1, "codebook_size": SIZE, "voice_codes": voice_codes}
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **sizes}))
    random = torch.Generator().manual_seed(0)
    save_file({"frames": 0.2 * torch.randn(SIZE, HOP, generator=random)}, folder / "model.safetensors")
    return folder


def install(points: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "voiced-codecs") -> Path:
    """Install a package that brings these codecs (kind: class), as pip lays it out, and return its folder."""
    about = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = "\n".join(f"{kind} = {target}" for kind, target in points.items())
    (about / "entry_points.txt").write_text(f"[speechalign.codecs]\n{lines}\n")
    monkeypatch.syspath_prepend(folder)
    return folder


TINY = f"{__name__}:TinyVoiced"
