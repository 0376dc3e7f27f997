"""Checked utterances, and their audio when it is asked for again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.spelling import Spelling
from tasks.common.audio import Limits
from tasks.common.files import DataError
from tasks.prepare.intake import Intake
from tasks.prepare.items import Corpus, Item
from tests.conftest import tone, write_tone


def read(folder: Path) -> Intake:
    """An utterance with a file, and one without."""
    file = write_tone(folder / "a.wav", 0.5, 8000)
    items = [Item("a", "s", "one", "a.wav", file), Item("b", "s", "two", "made", samples=tone(0.2), sample_rate=16000)]
    intake = Intake(folder / "spool", 16000, Limits(), (1, 40), Spelling(), threads=2)
    intake.read(Corpus(2, iter(items)))
    return intake


def test_only_audio_without_a_file_is_spooled(tmp_path: Path) -> None:
    intake = read(tmp_path)
    assert intake.spool.stat().st_size == 2 * 3200
    samples = {u.id: samples for u, samples in intake.samples(intake.utterances[::-1])}
    assert list(samples) == ["b", "a"] and len(samples["a"]) == 8000
    np.testing.assert_array_equal(samples["b"], (tone(0.2) * 32768).round())


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("text", "seconds", "reason"),
    [
        ("one two three", 1.0, None),
        ("oh", 2.0, None),
        ("hi", 40.0, "text too short for its audio"),
        ("hi there", 9.0, "text too short for its audio"),
        (" ".join(["word"] * 60), 0.74, "text too long for its audio"),
        ("a text of two seconds, of which one is left: " * 2, 1.0, "text too long for its audio"),
    ],
)
def test_a_text_and_a_sound_that_cannot_belong_together_are_rejected(
    tmp_path: Path, text: str, seconds: float, reason: str | None, in_memory: bool
) -> None:
    sound = tone(seconds, 8000)
    if in_memory:
        item = Item("a", "s", text, "made", samples=sound, sample_rate=8000)
    else:
        item = Item("a", "s", text, "a.wav", write_tone(tmp_path / "a.wav", seconds, 8000))
    intake = Intake(tmp_path / "spool", 16000, Limits(), (1.0, 40.0), Spelling(), threads=1)
    intake.read(Corpus(1, iter([item])))
    assert [row["reason"] for row in intake.rejected] == ([reason] if reason else [])
    assert len(intake.utterances) == (reason is None)


def test_a_file_that_changes_after_its_check_is_an_error(tmp_path: Path) -> None:
    intake = read(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"a\.wav changed while it was in use: unreadable audio"):
        list(intake.samples(intake.utterances))
