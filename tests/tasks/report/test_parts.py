"""Transcripts aligned with texts, sounds and the statistics of pairs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from model.statistics import Interval
from tasks.common import params
from tasks.common.page import sounds
from tasks.common.page.numbers import count, difference, direction, level, number
from tasks.common.page.words import Word, compare
from tasks.common.scores import METRICS
from tasks.report import breakdown, load, preferences

WER, SIMILARITY, DURATION = (METRICS[name] for name in ("wer", "similarity", "duration_ratio"))


@pytest.mark.parametrize(
    ("text", "transcript", "kinds"),
    [
        ("one two three", "1 2 3", ["same", "same", "same"]),
        ("one two three", "One, two. Three!", ["same", "same", "same"]),
        ("one two three", "one four three", ["same", "wrong", "same"]),
        ("one two three", "one three", ["same", "missing", "same"]),
        ("one two", "one five two", ["same", "added", "same"]),
        ("one two", "", ["missing", "missing"]),
        ("", "one", ["added"]),
        ("", "", []),
    ],
)
def test_words_are_marked(text: str, transcript: str, kinds: list[str]) -> None:
    assert [word.kind for word in compare(text, transcript)] == kinds


def test_wrong_word_names_both_sides() -> None:
    assert compare("the cat", "the dog")[1] == Word("wrong", "cat", "dog")


def tone(path: Path, hertz: float, seconds: float = 0.5, rate: int = 16000) -> Path:
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate), rate)
    return path


def picture(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_spectrogram_has_low_frequencies_at_the_bottom(tmp_path: Path) -> None:
    low, high = (picture(sounds.embed(tone(tmp_path / f"{f}.flac", f)).picture) for f in (200, 6000))
    assert low.mean(axis=1).argmax() > high.mean(axis=1).argmax()


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(1), np.zeros(8000), np.full(100, np.nan)])
def test_silence_and_nothing_give_a_dark_picture(wave: np.ndarray) -> None:
    shades = np.asarray(Image.open(io.BytesIO(sounds.spectrogram_png(wave.astype(np.float32), 16000))))
    assert shades.max() == 0


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100])
def test_long_sounds_keep_the_picture_small(rate: int) -> None:
    wave = np.random.default_rng(0).standard_normal(rate * 30).astype(np.float32)
    assert sounds.log_mel(wave, rate).shape[1] <= sounds.COLUMNS + 2


def test_compressed_sound_is_smaller_and_as_long(tmp_path: Path) -> None:
    path = tmp_path / "noise.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    plain, small = sounds.embed(path), sounds.embed(path, compress=True)
    assert len(small.audio) < 0.6 * len(plain.audio)
    decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(small.audio.removeprefix("data:audio/mpeg;base64,"))))
    assert len(decoded) / rate == pytest.approx(2.0, abs=0.15)


def test_compression_starts_at_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tone(tmp_path / "a.flac", 300)
    assert not sounds.must_compress([path])
    monkeypatch.setattr(sounds, "BUDGET_BYTES", path.stat().st_size - 1)
    assert sounds.must_compress([path])


def test_pairs_are_counted(make_loop: Callable) -> None:
    make_loop(n_pairs=30)
    [(_, cells), *_] = preferences.statistics(load.read(params.load(), ""))
    assert cells is not None
    assert cells[:3] == ["30", "30", "own samples 30"]


def test_length_difference_is_chosen_minus_rejected(make_loop: Callable) -> None:
    make_loop(n_pairs=3)
    pairs = load.read(params.load(), "").runs[1].pairs
    assert pairs
    assert all(40 <= len(pair["chosen"]) < 110 for pair in pairs)
    assert preferences.frames_difference({"chosen": [2] * 90, "rejected": [3] * 50}) == 40


def test_changes_rank_by_the_errors_of_all_draws_and_show_the_draw_that_changed_most(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.5, "1": 0.3, "2": 0.3, "3": 0.3})
    inputs = load.read(params.load(), "")
    improved, worsened, tally = breakdown.changes(inputs, "long")
    first, last = (inputs.runs[i].rows("long") for i in (0, 3))
    more = {
        (a["id"], a["draw"]): b["word_errors"] - a["word_errors"]
        for a in first
        for b in last
        if (a["id"], a["draw"]) == (b["id"], b["draw"])
    }
    drops = [sum(more[after["id"], draw] for draw in (0, 1)) for _, after in improved]
    assert drops == sorted(drops)
    assert all(drop < 0 for drop in drops)
    for before, after in improved:
        assert after["word_errors"] - before["word_errors"] == min(more[after["id"], draw] for draw in (0, 1))
    assert all(sum(more[after["id"], draw] for draw in (0, 1)) > 0 for _, after in worsened)
    assert sum(tally) == len({row["id"] for row in last})


def test_speaker_rates_are_errors_over_words(make_loop: Callable) -> None:
    make_loop()
    inputs = load.read(params.load(), "")
    titles, table = breakdown.speakers(inputs, "long")
    assert len(titles) == 4
    rows = [r for r in inputs.runs[0].rows("long") if r["speaker"] == table[0].name]
    assert table[0].texts == len(rows) / 2  # of two draws
    assert table[0].rates[0] == level(sum(r["word_errors"] for r in rows) / sum(r["words"] for r in rows), WER)
    assert [speaker.seen for speaker in table] == sorted([s.seen for s in table], reverse=True)


def test_numbers_are_written_with_sign_and_unit() -> None:
    assert difference(-0.0123, WER) == "−1.23\N{NO-BREAK SPACE}points"
    assert difference(0.0, SIMILARITY) == "0.000"
    assert number(-0.0001, 2) == "0.00"
    assert level(0.0972, WER) == "9.7\N{NO-BREAK SPACE}%"
    assert (count(1, "pair"), count(1200, "pair")) == ("1 pair", "1,200 pairs")


@pytest.mark.parametrize(
    ("metric", "interval", "word"),
    [
        (WER, (-0.1, -0.2, -0.05), "better"),
        (WER, (0.1, 0.05, 0.2), "worse"),
        (SIMILARITY, (0.1, 0.05, 0.2), "better"),
        (SIMILARITY, (-0.1, -0.2, -0.05), "worse"),
        (DURATION, (0.1, 0.05, 0.2), "higher"),
        (DURATION, (-0.1, -0.2, -0.05), "lower"),
        (WER, (-0.1, -0.2, 0.0), "includes zero"),
    ],
)
def test_directions(metric: object, interval: tuple[float, float, float], word: str) -> None:
    assert direction(Interval(*interval), metric) == word  # type: ignore[arg-type]
