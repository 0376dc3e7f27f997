"""Audio files, whole and piece by piece."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model import audio
from serving.formats import DATA_SIZE, RIFF_SIZE, Stream, encode

STREAMINFO = slice(8, 42)  # of a FLAC file: length and checksum, which a stream does not know
UNLIKE = {"wav": (RIFF_SIZE, DATA_SIZE), "flac": (STREAMINFO,), "pcm": ()}


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.4, 20_000).astype(np.float32)  # some beyond full scale


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_whole_file_is_what_soundfile_writes(tmp_path: Path, samples: np.ndarray, kind: str):
    soundfile.write(tmp_path / f"out.{kind}", samples, 16000)

    assert encode(samples, 16000, kind) == (tmp_path / f"out.{kind}").read_bytes()


def test_pcm_is_the_samples_of_the_wav(samples: np.ndarray):
    assert encode(samples, 16000, "pcm") == encode(samples, 16000, "wav")[44:]


@pytest.mark.parametrize("kind", ["wav", "flac", "pcm"])
def test_a_stream_differs_from_the_whole_file_in_its_header_only(samples: np.ndarray, kind: str):
    stream = Stream(kind)
    parts = [stream.write(part, 16000) for part in (samples[:9000], samples[9000:9001], samples[9001:])]
    sent, whole = bytearray(b"".join(parts) + stream.close()), bytearray(encode(samples, 16000, kind))

    assert len(parts[0]) > 9000  # it does not wait for the rest
    for header in UNLIKE[kind]:
        sent[header] = whole[header]
    assert sent == whole


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stream_can_be_read(samples: np.ndarray, kind: str):
    stream = Stream(kind)
    sent = stream.write(samples, 16000) + stream.close()

    with audio.Stream(io.BytesIO(sent)) as file:
        read, rate = file.read(30_000, dtype="int16"), file.samplerate

    assert rate == 16000
    whole, _ = soundfile.read(io.BytesIO(encode(samples, 16000, kind)), dtype="int16")
    np.testing.assert_array_equal(read, whole)
