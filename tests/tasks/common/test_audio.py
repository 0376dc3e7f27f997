"""Loading and checking one audio file: what is refused, and what comes out of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.common import audio
from tasks.common.rejected import Rejected
from tests.conftest import tone, write_tone

RATE = 16000


def load(path: Path, **limits: float) -> np.ndarray:
    return audio.load(path, RATE, audio.Limits(**limits))


def reason(path: Path, **limits: float) -> str:
    with pytest.raises(Rejected) as caught:
        load(path, **limits)
    assert caught.value.expected and caught.value.found
    return caught.value.reason


def wav(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_missing_file_and_folder_are_rejected(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.wav") == "missing audio"
    assert reason(tmp_path) == "missing audio"


def test_a_name_that_no_file_can_have_is_rejected(tmp_path: Path) -> None:
    assert reason(tmp_path / ("seven two nine " * 30)) == "unreadable audio"  # text and path of a table swapped


def test_a_file_without_a_header_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(1000))
    assert reason(path) == "unreadable audio"


def test_file_of_no_bytes_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert reason(path) == "empty audio"


def test_file_without_samples_is_rejected(tmp_path: Path) -> None:
    assert reason(wav(tmp_path / "a.wav", np.zeros(0))) == "empty audio"


@pytest.mark.parametrize(
    "content", [b"this is no sound at all" * 50, b"RIFF\x00\x00\x00\x00WAVEjunk", b"fLaC" + b"\xff" * 99]
)
def test_unreadable_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert reason(path) == "unreadable audio"


def flac_promising(path: Path, samples: int) -> Path:
    """A FLAC file of one second of noise whose header says that it has so many samples."""
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, RATE), RATE)
    content = bytearray(path.read_bytes())
    # The stream's length is the 36 bits that end with byte 25.
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)
    return path


def test_file_shorter_than_its_header_says_is_rejected(tmp_path: Path) -> None:
    assert len(load(flac_promising(tmp_path / "a.flac", RATE))) == RATE
    assert reason(flac_promising(tmp_path / "b.flac", 2 * RATE)) in ("truncated audio", "unreadable audio")


def test_length_is_judged_by_the_header_before_reading(tmp_path: Path) -> None:
    assert reason(flac_promising(tmp_path / "a.flac", 36000 * RATE)) == "audio too long"


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_silence_is_rejected_with_and_without_a_constant_offset(tmp_path: Path, offset: float) -> None:
    assert reason(wav(tmp_path / "a.wav", np.full(RATE, offset))) == "silent audio"


def test_stereo_whose_channels_cancel_is_silent(tmp_path: Path) -> None:
    one = tone()
    assert reason(wav(tmp_path / "a.wav", np.stack([one, -one], axis=1))) == "silent audio"


def test_clipped_audio_is_rejected_above_the_share_allowed(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", np.clip(5 * tone(1.0), -1, 1))
    assert reason(path) == "clipped audio"
    assert len(load(path, max_clipped=1.0)) == RATE


def test_one_clipped_channel_is_found(tmp_path: Path) -> None:
    loud = np.clip(5 * tone(), -1, 1)
    assert reason(wav(tmp_path / "a.wav", np.stack([loud, 0.1 * loud], axis=1))) == "clipped audio"


def test_too_short_and_too_long_are_rejected(tmp_path: Path) -> None:
    assert reason(write_tone(tmp_path / "a.wav", 0.05), min_seconds=0.2) == "audio too short"
    assert reason(write_tone(tmp_path / "b.wav", 601, rate=8000)) == "audio too long"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_rejected(tmp_path: Path, bad: float) -> None:
    samples = tone()
    samples[100] = bad
    assert reason(wav(tmp_path / "a.wav", samples, subtype="FLOAT")) == "non-finite samples"


def test_impossible_sample_rate_is_rejected(tmp_path: Path) -> None:
    assert reason(wav(tmp_path / "a.wav", tone(), rate=100)) == "impossible sample rate"


def test_stereo_is_averaged(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", np.stack([tone(level=0.4), tone(level=0.2)], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(load(path), tone(level=0.3), atol=1e-6)


def test_same_rate_comes_back_unchanged(tmp_path: Path) -> None:
    loaded = load(wav(tmp_path / "a.wav", tone(), subtype="FLOAT"))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, tone())


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44099, 48000, 96000])
def test_any_rate_is_resampled_to_the_codecs(tmp_path: Path, rate: int) -> None:
    """44,099 Hz has no common divisor with 16,000: torchaudio takes gigabytes for it."""
    loaded = load(write_tone(tmp_path / "a.wav", 1.0, rate, frequency=440.0))
    assert abs(len(loaded) - RATE) <= 1
    spectrum = np.abs(np.fft.rfft(loaded))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert 0.28 < np.abs(loaded[1000:-1000]).max() < 0.32


def test_integer_samples_in_memory_are_scaled() -> None:
    samples = (tone() * 32768).astype(np.int16)
    np.testing.assert_allclose(audio.check(samples, RATE, audio.Limits()), tone(), atol=1e-4)


WHOLE = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST", "SVX", "VOC", "WVE", "MAT4"]
SUBTYPES = [
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAV", "MS_ADPCM"),
    ("CAF", "ALAC_16"),
    ("OGG", "OPUS"),
    ("FLAC", "PCM_24"),
]


@pytest.mark.parametrize(("container", "subtype"), [*((name, None) for name in WHOLE), *SUBTYPES])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_half_a_file_is_rejected_whatever_its_container(
    tmp_path: Path, container: str, subtype: str | None, share: float
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 4 * RATE)
    soundfile.write(tmp_path / "whole", tone(4.0) + noise, RATE, format=container, subtype=subtype)
    assert len(load(tmp_path / "whole")) >= 3.9 * RATE
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(content[: int(share * len(content))])
    assert reason(tmp_path / "half") in ("truncated audio", "unreadable audio")


@pytest.mark.parametrize("container", ["IRCAM", "PAF", "PVF", "AVR", "MPC2K", "MAT5", "XI"])
def test_a_container_that_does_not_tell_its_length_is_not_taken(tmp_path: Path, container: str) -> None:
    soundfile.write(tmp_path / "a", tone(), RATE, format=container)
    assert reason(tmp_path / "a") == "unusable container"


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFDB, 0x80000000])
def test_a_wav_that_was_written_to_a_pipe_is_read(tmp_path: Path, size: int) -> None:
    content = bytearray(wav(tmp_path / "a.wav", tone()).read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert len(load(tmp_path / "a.wav")) == len(tone())


def test_a_wav_whose_sound_is_whole_is_read_though_its_notes_are_cut(tmp_path: Path) -> None:
    content = bytearray(wav(tmp_path / "a.wav", tone()).read_bytes())
    content[4:8] = (len(content) + 100).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert len(load(tmp_path / "a.wav")) == len(tone())


def test_a_flac_of_unknown_length_is_read_and_bounded(tmp_path: Path) -> None:
    path = flac_promising(tmp_path / "a.flac", 0)  # as from a pipe
    assert len(load(path)) == RATE
    assert reason(path, max_seconds=0.5) == "audio too long"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert reason(path) in ("truncated audio", "unreadable audio")
