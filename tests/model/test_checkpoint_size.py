"""A configuration of absurd sizes is refused before it takes memory or time."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from model import nar, policy
from model.checkpoint_size import check_size
from model.codecs import encodec
from model.errors import CheckpointError
from model.judges import asr
from tests.conftest import REPOSITORY

LOADERS = {
    "codec": encodec.load_model,
    "policy/nar": nar.load,
    "policy/ar": policy.load,
    "whisper": asr.load_recognizer,
}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("codec", "n_filters", 10**5),
        ("codec", "codebook_size", 10**10),
        ("codec", "n_codebooks", 10**7),
        ("codec", "ratios", [2] * 10**4),
        ("policy/nar", "layers", 10**7),
        ("policy/nar", "kernel", 10**9),
        ("policy/ar", "num_hidden_layers", 10**7),
        ("policy/ar", "vocab_size", 10**9),
        ("whisper", "n_text_layer", 10**7),
        ("whisper", "n_audio_ctx", 10**8),
    ],
)
def test_sizes_that_the_weights_cannot_fill_are_refused_before_memory_is_taken(tmp_path, name, field, value):
    folder = shutil.copytree(REPOSITORY / "checkpoints" / name, tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, field: value}))
    with pytest.raises(CheckpointError, match=r"model/config\.json has sizes of another model: expected about "):
        LOADERS[name](str(folder))


def test_a_module_that_cannot_be_built_without_memory_is_left_to_its_construction(tmp_path):
    def make():
        return torch.nn.Linear(2, 2).weight.sum().item()  # no numbers on the meta device

    check_size(make, [], Path("config.json"))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of heads, found 192 and 7"):
        nar.NarConfig(heads=7)
