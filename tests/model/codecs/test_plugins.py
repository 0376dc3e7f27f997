"""Codecs of other installed packages, and codecs whose decoder takes a voice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model.codecs.plugins import requirement
from model.codecs.registry import load_codec
from model.codecs.voiced import VoicedCodec
from model.errors import CheckpointError, InputError
from tests.model.codecs import voiced

WAVE = 0.3 * torch.sin(torch.arange(1700) / 20)


@pytest.fixture
def codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VoicedCodec:
    voiced.install({"bicodec": voiced.TINY}, tmp_path / "site", monkeypatch)
    loaded = load_codec(str(voiced.save("bicodec", tmp_path / "codec", voice_codes=True)))
    assert isinstance(loaded, voiced.TinyVoiced)
    return loaded


def test_an_installed_package_brings_a_codec_with_the_version_that_a_registered_model_needs(codec: VoicedCodec) -> None:
    [codes] = codec.encode([WAVE])
    assert codes.shape == (1, 11)
    assert requirement("bicodec") == "voiced-codecs==1.2"
    assert requirement("dac") is None


def test_the_voice_changes_the_sound_and_not_its_length(codec: VoicedCodec) -> None:
    [codes], voice = codec.encode([WAVE]), codec.voice_of(WAVE)
    assert len(voice) == 32
    quiet, loud, none = codec.decode([codes, codes, codes[:, :0]], voices=[[0.0] * 32, voice, voice])
    assert quiet.shape == loud.shape == (11 * 160,) and none.shape == (0,)
    assert loud.abs().mean() > 1.1 * quiet.abs().mean()


def test_samples_without_a_voice_are_refused(codec: VoicedCodec) -> None:
    [codes] = codec.encode([WAVE])
    with pytest.raises(InputError, match=r"in the voice of a recording, found 0 for 1 samples; set policy\.voice"):
        codec.decode([codes], voices=[()])
    with pytest.raises(InputError, match="found 0 for 1 samples"):
        codec.decode([codes])


class NoCodec:
    pass


class Incomplete(VoicedCodec):
    pass


class NoRate(voiced.TinyVoiced):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sample_rate = 0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (f"{__name__}:NoCodec", r"should be a subclass of model\.codecs\.base\.Codec"),
        (f"{__name__}:Incomplete", "lacks decode_voice, encode_batch, encode_voice, load"),
        (f"{__name__}:NoRate", "should have a positive sample_rate, found 0"),
        (f"{__name__}:Missing", "cannot be imported: AttributeError"),
        ("no_such_module:Codec", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_package_that_brings_no_whole_codec_is_named(
    target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voiced.install({"flawed": target}, tmp_path / "site", monkeypatch)
    with pytest.raises(CheckpointError, match=f"the codec flawed.* {message}"):
        load_codec(str(voiced.save("flawed", tmp_path / "codec", voice_codes=True)))


def test_a_kind_that_no_package_brings_says_where_to_name_it(tmp_path: Path) -> None:
    folder = voiced.save("bicodec", tmp_path / "codec", voice_codes=True)
    with pytest.raises(CheckpointError, match=r"model_type 'bicodec'; expected one of dac, .*'speechalign\.codecs'"):
        load_codec(str(folder))


def test_two_packages_with_one_kind_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        voiced.install({"bicodec": voiced.TINY}, tmp_path / name, monkeypatch, name)
    folder = voiced.save("bicodec", tmp_path / "codec", voice_codes=True)
    with pytest.raises(CheckpointError, match=r"in several installed packages: .* of one, .* of two"):
        load_codec(str(folder))


def test_code_in_the_codecs_own_folder_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = voiced.save("bicodec", tmp_path / "codec", voice_codes=True)
    (folder / "modeling.py").write_text("raise SystemExit")
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"auto_map": {"AutoModel": "modeling.Codec"}}))
    with pytest.raises(CheckpointError, match="model_type 'bicodec'"):
        load_codec(str(folder))
