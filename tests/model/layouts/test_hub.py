"""Checkpoints by their name on the Hub, from a cache that is made here; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

from model import policy
from model.errors import CheckpointError
from model.layouts.hub import local_folder
from tests.model.frames import tiny_dia

NAME, COMMIT = "some-team/codec-lm", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of a policy in a cache as the Hub's client lays it out; no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "cache" / "models--some-team--codec-lm"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    policy.save(policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=32), 16), snapshot)
    return snapshot


def test_a_name_is_the_folder_in_the_cache_and_loads_as_a_policy(cache: Path):
    assert local_folder(NAME) == cache
    assert policy.load(local_folder(NAME)).layout.code_tokens.size == 16


def test_a_family_whose_tokens_are_bytes_has_no_tokenizer_file(cache: Path):
    for file in cache.iterdir():
        file.unlink()
    tiny_dia.save(tiny_dia.dia(), cache)
    assert not (cache / "tokenizer.json").exists() and local_folder(NAME) == cache


def test_a_folder_is_itself_even_if_its_name_could_be_the_hubs(cache: Path, tmp_path: Path):
    (tmp_path / "some-team/codec-lm").mkdir(parents=True)
    assert local_folder(NAME) == Path(NAME)
    assert local_folder("some-team/other") == Path("some-team/other")  # a slip in a path, which its reader names


def test_a_name_that_is_not_in_the_cache_says_what_to_download(cache: Path, tmp_path: Path):
    said = (
        rf"some-team/other is no folder here, not in the Hub's cache \({tmp_path}/cache\), and could not be downloaded"
    )
    with pytest.raises(
        CheckpointError, match=rf"{said}: .*; where there is a network, run `hf download some-team/other`"
    ):
        local_folder("some-team/other")


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_half_a_download_is_no_checkpoint(cache: Path, lost: str):
    (cache / lost).unlink()
    with pytest.raises(
        CheckpointError, match=rf"has of {NAME}, is half a download .*; where there is a network, run `hf download"
    ):
        local_folder(NAME)


def test_pickled_weights_are_refused(cache: Path):
    (cache / "model.safetensors").rename(cache / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"its weights as a pickle \(pytorch_model\.bin\).*never loaded"):
        policy.load(local_folder(NAME))
