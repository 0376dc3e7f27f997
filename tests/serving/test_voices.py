"""The folder of registered voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from serving.voices import Voice, read_folder
from tasks.common.files import DataError
from tests.conftest import tone, write_tone

LARGEST = 100_000


def test_each_recording_is_a_voice_by_its_name(tmp_path: Path):
    write_tone(tmp_path / "alice.wav")
    write_tone(tmp_path / "bob.flac")
    (tmp_path / "README.md").write_text("not a voice")
    (tmp_path / "bob.txt").write_text("one two,\n three\n")

    voices = read_folder(tmp_path, LARGEST)

    assert voices == {
        "alice": Voice((tmp_path / "alice.wav").read_bytes(), "", "alice"),
        "bob": Voice((tmp_path / "bob.flac").read_bytes(), "one two, three", "bob"),
    }


def test_a_folder_without_usable_voices_is_refused_with_the_file(tmp_path: Path):
    with pytest.raises(DataError, match="is not a folder"):
        read_folder(tmp_path / "gone", LARGEST)
    with pytest.raises(DataError, match="has no voice"):
        read_folder(tmp_path, LARGEST)
    write_tone(tmp_path / "alice.wav")
    with pytest.raises(DataError, match=r"alice.wav: \d+ bytes, at most 10 are allowed"):
        read_folder(tmp_path, 10)
    (tmp_path / "alice.txt").write_bytes(b"\xff\xfeo")
    with pytest.raises(DataError, match=r"alice.txt is not UTF-8"):
        read_folder(tmp_path, LARGEST)
    (tmp_path / "alice.txt").unlink()
    write_tone(tmp_path / "alice.flac")
    with pytest.raises(DataError, match="two voices are called alice"):
        read_folder(tmp_path, LARGEST)
    (tmp_path / "alice.flac").unlink()
    (tmp_path / "bob.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"bob.wav: unreadable audio"):
        read_folder(tmp_path, LARGEST)


def test_a_clipped_voice_is_warned_of_by_its_file_and_a_sound_one_is_not(tmp_path: Path, capsys):
    write_tone(tmp_path / "alice.wav")
    soundfile.write(tmp_path / "bob.wav", np.clip(5 * tone(), -1, 1), 16000)
    assert set(read_folder(tmp_path, LARGEST)) == {"alice", "bob"}
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path}/bob.wav is clipped (")
