"""A listening test of two folders: what is written, and what cannot be compared."""

import numpy as np
import pytest
import soundfile

from tasks.prefer.votes import export
from tasks.prefer.votes import key as keys
from tasks.prefer.votes.design import Amounts, Pair, Take, arrange
from tasks.prefer.votes.sounds import leveled, speech_rms
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import overwrite, run


def read(folder, name):
    return soundfile.read(folder / name)


def test_two_folders_give_a_blind_test_of_both_systems(made):
    folder, key = made
    roles = [trial.role for trial in key.trials]
    assert roles[:2] == ["warm-up"] * 2 and roles.count("pair") == 10
    assert roles.count("identical") == roles.count("degraded") == 2
    assert sorted(trial.id for trial in key.trials if trial.role == "pair") == sorted(f"t{i}" for i in range(10))
    assert {trial.a.system for trial in key.trials if trial.role == "pair"} == {"before", "after"}
    for trial in key.trials:
        assert {trial.a.system, trial.b.system} == {"before", "after"} or trial.role != "pair"
    assert oct((folder / keys.NAME).stat().st_mode)[-3:] == "600"


def test_rate_and_loudness_say_nothing_of_the_system(made):
    folder, key = made
    for trial in key.trials:
        (a, rate_a), (b, rate_b) = read(folder, trial.a.sound), read(folder, trial.b.sound)
        assert rate_a == rate_b == 2 * listening.RATE
        assert speech_rms(a, rate_a) == pytest.approx(speech_rms(b, rate_b), rel=0.02)
        if trial.role == "identical":
            assert np.array_equal(a, b)
        if trial.role == "degraded":
            clean, noisy = (a, b) if trial.b.degraded else (b, a)
            flatness = [
                np.median(np.abs(np.fft.rfft(wave))) / np.abs(np.fft.rfft(wave)).max() for wave in (clean, noisy)
            ]
            assert flatness[1] > 5 * flatness[0]


def flatness(wave):
    spectrum = np.abs(np.fft.rfft(wave))
    return np.median(spectrum) / spectrum.max()


def test_the_same_seed_writes_the_same_test_and_another_seed_another(folder):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("before", "after", "--texts", "texts.csv", "--out", name, "--seed", seed).exit_code == 0
    a, b, c = ({path.name: path.read_bytes() for path in (folder / name).iterdir()} for name in "abc")
    assert a == b and a["key.json"] != c["key.json"]
    assert keys.read(folder / "a").test != keys.read(folder / "c").test


def test_options_may_come_before_the_folders(folder):
    done = run("--texts", "texts.csv", "before", "after", "--out", "x", "--pairs", 2, "--warm-up", 1, "--checks", 3)
    assert done.exit_code == 0, done.output
    assert "2 pairs, 1 practice pair, 3 attention checks" in done.output


def test_texts_without_two_usable_sounds_are_named_with_their_system(folder):
    (folder / "after/t1.wav").unlink()
    soundfile.write(folder / "before/t2.wav", np.zeros(4000), 8000)
    (folder / "after/stranger.wav").write_bytes((folder / "after/t0.wav").read_bytes())
    done = run("before", "after", "--texts", "texts.csv")
    assert done.exit_code == 0, done.output
    assert "before: no usable sound of 1 text: t2 (silent audio" in done.output
    assert "after: no usable sound of 1 text: t1 (missing audio" in done.output
    assert "after: stranger.wav belong to no text" in done.output
    assert [trial.id for trial in keys.read(folder / "listening").trials if trial.role == "pair"] == ["t0"]


def test_one_sound_of_both_systems_is_not_voted_on(folder):
    wave, rate = soundfile.read(folder / "before/t0.wav")
    soundfile.write(folder / "after/t0.flac", 0.5 * wave, rate)  # softer, in another format
    (folder / "after/t0.wav").unlink()
    (folder / "after/t1.wav").write_bytes((folder / "before/t1.wav").read_bytes())
    done = run("before", "after", "--texts", "texts.csv")
    assert done.exit_code == 0, done.output
    assert "warning: both systems have one sound of 2 texts, left out: t0, t1" in done.output
    pairs = [trial for trial in keys.read(folder / "listening").trials if trial.role == "pair"]
    assert [trial.id for trial in pairs] == ["t2"]


def test_prompts_may_be_named_after_the_text_or_marked_as_prompts(folder):
    for number in (0, 1):
        (folder / f"prompts/t{number}.wav").rename(folder / f"prompts/t{number}.prompt.wav")
    done = run("before", "after", "--texts", "texts.csv", "--scale", "similarity", "--prompts", "prompts")
    assert done.exit_code == 0, done.output
    pairs = [trial for trial in keys.read(folder / "listening").trials if trial.role == "pair"]
    assert len(pairs) == 3 and all(trial.reference for trial in pairs)


def test_sounds_too_large_for_one_page_can_still_be_served(folder, monkeypatch):
    monkeypatch.setattr(export, "LARGEST_PAGE", 1000)
    done = run("before", "after", "--texts", "texts.csv")
    assert done.exit_code == 0 and "serve it: too large for one page" in done.output
    assert not (folder / "listening/vote.html").exists() and keys.read(folder / "listening").sounds


def test_systems_of_one_name_are_told_apart_by_the_folder_above(folder):
    for name in ("before", "after"):
        (folder / "run" / name).mkdir(parents=True)
        (folder / name).rename(folder / "run" / name / "wav")
    assert run("run/before/wav", "run/after/wav", "--texts", "texts.csv").exit_code == 0
    assert keys.read(folder / "listening").systems == ["before/wav", "after/wav"]


def test_practice_and_checks_use_texts_that_are_left_over():
    takes = [Take(name, "x", lambda: np.zeros(1)) for name in "ab"]
    pairs = [Pair(str(i), "text", takes[0], takes[1]) for i in range(12)]
    arranged = arrange(pairs, Amounts(6, 2, 4), np.random.default_rng(0))
    assert len({pair.id for pair in arranged}) == 12
    several = [
        p for s in range(30) for p in arrange(pairs, Amounts(6, 2, 4), np.random.default_rng(s)) if p.role == "pair"
    ]
    assert 60 < sum(pair.a.system == "a" for pair in several) < 120  # of 180: neither is always played first


def test_a_peak_that_would_clip_makes_both_sides_softer():
    spiky = np.full(800, 0.001)
    spiky[400] = 1.0
    quiet, loud = leveled([0.01 * np.sin(np.arange(800.0)), np.tile(spiky, 2)], 8000)
    assert np.abs(loud).max() <= 0.99
    assert speech_rms(quiet, 8000) == pytest.approx(speech_rms(loud, 8000), rel=0.02)


def remove(name):
    return lambda folder: [path.unlink() for path in (folder / name).iterdir()]


def link_to_itself(folder):
    (folder / "loop").symlink_to("loop")


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (None, ("nowhere", "after"), "nowhere is not there"),
        (None, ("texts.csv", "after"), "texts.csv is a file"),
        (None, ("before", "before"), "both systems are the folder before"),
        (remove("after"), ("before", "after"), "after holds no recordings"),
        (overwrite("texts.csv", b""), ("before", "after"), "texts.csv should have a first line"),
        (overwrite("texts.csv", b"id,text\n"), ("before", "after"), "holds no texts"),
        (overwrite("texts.csv", b"id,text\nz,words\n"), ("before", "after"), "none of its 3 recordings"),
        (overwrite("texts.csv", b"id,text\nt0,\xff\n"), ("before", "after"), "is not UTF-8"),
        (overwrite("texts.csv", b"id,text\nt0,a\nt0,b\n"), ("before", "after"), "there twice"),
        (None, ("before", "after", "--scale", "similarity"), "names no voice prompts"),
        (None, ("before", "after", "--prompts", "prompts"), "need --scale similarity"),
        (None, ("before", "after", "--scale", "similarity", "--prompts", "gone"), "gone is not there"),
        (None, ("before", "after", "--out", "before"), "exists and may hold votes"),
        (link_to_itself, ("before", "after", "--out", "loop"), "exists and may hold votes"),
        (None, ("before", "after", "--out", "texts.csv/test"), "expected a new folder in one that can be written to"),
        (None, ("before", "after", "--out", "/proc/test"), "expected a new folder in one that can be written to"),
        (None, ("before", "after", "--out", "x" * 300), "File name too long"),
        (link_to_itself, ("loop", "after"), "loop is not there"),
        (None, ("x" * 300, "after"), "is not there"),
        (None, ("before", "after", "--out", "after/listening"), "--out after/listening lies in after"),
        (
            lambda folder: (folder / "after").rename(folder / "before/after"),
            ("before", "before/after"),
            "before/after lies inside before: its recordings would count for both systems",
        ),
        (
            lambda folder: [(folder / "after" / f.name).write_bytes(f.read_bytes()) for f in folder.glob("before/*")],
            ("before", "after"),
            "both systems have one sound of 3 texts, left out: t0, t1, t2",
        ),
        (
            lambda folder: [path.write_bytes(b"RIFF") for path in (folder / "after").iterdir()],
            ("before", "after"),
            "no text has usable sounds of both systems that differ",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_message_and_writes_nothing(folder, change, arguments, message):
    if change:
        change(folder)
    done = run(*arguments, "--texts", "texts.csv")
    assert done.exit_code == 3 and message in done.output, done.output
    assert "Traceback" not in done.output and not (folder / "listening").exists()


@pytest.mark.parametrize(
    "arguments",
    [("", "after", "--texts", "texts.csv"), ("before", "", "--texts", "texts.csv"), ("before", "after", "--texts", ""),
     ("before", "after", "--texts", "texts.csv", "--out", ""), ("before", "after", "--texts="), ("serve", ""),
     ("serve", "before", "--host", ""), ("result", ""), ("result", "before", " "), ("check", "", "--iteration", "1")],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_argument_is_refused_and_is_not_the_current_folder(folder, arguments):
    before = sorted(folder.rglob("*"))
    done = run(*arguments)
    assert done.exit_code == 3 and "is empty; expected a value" in done.output, done.output
    assert sorted(folder.rglob("*")) == before


def test_a_fault_of_the_program_has_a_status_of_its_own(folder, monkeypatch):
    monkeypatch.setattr(keys, "read", lambda _: 1 // 0)
    done = run("result", "before")
    assert done.exit_code == 4 and "ZeroDivisionError" in done.output


@pytest.mark.parametrize(
    "arguments",
    [("before",), ("before", "after"), ("before", "after", "--texts", "texts.csv", "--pairs", "0"),
     ("before", "after", "--texts", "texts.csv", "--scale", "beauty"), ("serve", "before", "--port", "99999"),
     ("before", "after", "--texts", "texts.csv", "--checks", "-1"),
     ("before", "after", "more", "--texts", "texts.csv")],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_command_line_says_how_it_goes(folder, arguments):
    done = run(*arguments)
    assert done.exit_code == 3 and "Usage" in done.output
