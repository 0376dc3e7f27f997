"""Tokens of encoded silence: of the levels that a policy writes, and of their slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model import policy
from model.codecs.registry import load_codec
from model.layouts.layout import Layout
from model.layouts.own import build_layout
from model.silence import silent_tokens
from model.stuck import is_stuck
from tests.conftest import REPOSITORY
from tests.model.codecs import voiced
from tests.model.layouts.families import make_tokenizer, small_layout


def test_the_shipped_codecs_silence_is_told_and_its_speech_is_not() -> None:
    codec, layout = load_codec(str(REPOSITORY / "checkpoints/codec")), build_layout(256)
    silent = silent_tokens(codec, layout)
    assert 1 <= len(silent) <= 256 / 8 and set(silent) <= layout.code_tokens.all

    def tokens(wave: np.ndarray) -> np.ndarray:
        [codes] = codec.encode([torch.from_numpy(wave.astype(np.float32))])
        return codes[0].numpy() + int(layout.code_tokens.ids[0, 0])

    time = np.arange(32000) / 16000
    buzz = 0.3 * np.sign(np.sin(2 * np.pi * (120 + 40 * time) * time)) * np.abs(np.sin(7 * time))
    assert is_stuck(tokens(np.zeros(32000)), frozenset(silent))
    assert not is_stuck(tokens(buzz), frozenset(silent))


class Levels(voiced.TinyVoiced):
    """Levels at 1:2:4 rates; silence is code 3, 5 and, in the last, every code in turn."""

    codes_per_frame = (1, 2, 4)

    def encode_batch(self, waves: torch.Tensor, frames) -> torch.Tensor:
        n = waves.shape[-1] // voiced.HOP
        rows = [torch.full((n,), 3), *[torch.full((n,), 5)] * 2, *[torch.arange(n) % 16] * 4]
        return torch.stack(rows)[None]


def test_each_slot_has_its_own_tokens_and_a_level_whose_silence_varies_is_left_out(tmp_path: Path) -> None:
    folder = make_tokenizer("orpheus", tmp_path / "orpheus", 16, compact=True)
    layout = Layout.load(small_layout("orpheus", folder / "l.yaml", 16), folder)
    codec = Levels.load(str(voiced.save("levels", tmp_path / "codec", voice_codes=False)))
    ids = layout.code_tokens.ids
    assert silent_tokens(codec, layout) == sorted([ids[0, 3], ids[1, 5], ids[4, 5]])


@pytest.mark.parametrize("silent", [[], [40, 41]])
def test_a_policys_folder_keeps_the_tokens_of_silence(tmp_path: Path, silent: list[int]) -> None:
    built = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=32), 16)
    assert built.drawable.silent == frozenset()
    built.model.config.silent_tokens = silent
    policy.save(built, tmp_path / "policy")
    assert policy.load(tmp_path / "policy").drawable.silent == frozenset(silent)
