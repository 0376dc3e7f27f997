"""Systems with known faults: each verdict is the right one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks import faults
from tasks.gate import run, verdict
from tasks.gate.judges import Named
from tasks.gate.margins import Margins
from tests.conftest import REPOSITORY, real_speech
from tests.model.judges.speech import synthesized
from tests.tasks.gate.conftest import EMBEDDED

VOICES = ("m1", "f2", "m3", "f4")
DIGITS = "zero one two three four five six seven eight nine".split()
SAME = "the same"


def judged(root: Path, recognizer: str, made: dict[str, Path], *, mos: bool = False) -> dict[str, list[dict[str, Any]]]:
    material = run.read(str(root / "texts.tsv"), [str(folder) for folder in made.values()], None)
    found = run.judge(material, Named(recognizer, "none", "none", mos, "cpu"))
    return dict(zip(made, found.rows, strict=True))


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Rows of every system, by name; digit strings of four synthetic voices."""
    if not (EMBEDDED / "model.safetensors").is_file():
        pytest.skip("checkpoints/whisper is not here")
    root = tmp_path_factory.mktemp("faults")
    (root / "prompts").mkdir()
    lines, recordings = ["id\ttext\tspeaker\tprompt"], {}
    for voice in VOICES:
        soundfile.write(root / "prompts" / f"{voice}.flac", synthesized("four four two one six", voice), 16000)
    for i in range(24):
        voice = VOICES[i % 4]
        text = " ".join(DIGITS[(7 * i + 3 * k) % 10] for k in range(4))
        lines.append(f"t{i}\t{text}\t{voice}\tprompts/{voice}.flac")
        recordings[f"t{i}"] = [root / f"t{i}.flac"]
        soundfile.write(recordings[f"t{i}"][0], synthesized(text, voice), 16000)
    (root / "texts.tsv").write_text("\n".join(lines) + "\n")
    made = {SAME: faults.make(root / SAME, recordings, None)}
    wanted = ("words dropped", "pitch flattened", "half speed", "another voice", "clipped", "silence")
    made |= {name: faults.make(root / name, recordings, faults.FAULTS[name]) for name in wanted}
    made["every third missing"] = faults.lacking(root / "every third missing", made[SAME], 3)
    return judged(root, str(EMBEDDED), made)


@pytest.mark.parametrize(
    ("fault", "measure"),
    [
        ("words dropped", "wer"),
        ("pitch flattened", "f0_spread"),
        ("half speed", "words_per_second"),
        ("another voice", "similarity"),
        ("clipped", "failed"),
        ("silence", "failed"),
        ("every third missing", "failed"),
    ],
)
def test_a_fault_is_found_in_its_own_measure(systems, fault: str, measure: str):
    found = verdict.judge(systems[SAME], systems[fault], Margins(), (SAME, fault), resamples=1000)
    assert found.answer == "worse", found.sentence
    assert measure in {f.name for f in found.findings if f.state == "worse"}, found.sentence


@pytest.mark.parametrize("fault", ["silence", "every third missing", "clipped"])
def test_without_the_fault_the_system_is_better(systems, fault: str):
    found = verdict.judge(systems[fault], systems[SAME], Margins(), (fault, SAME), resamples=1000)
    assert found.answer == "better" and "failed" in found.sentence, found.sentence


def test_words_that_are_no_longer_dropped_are_a_gain(systems):
    found = verdict.judge(systems["words dropped"], systems[SAME], Margins(), ("words dropped", SAME), resamples=1000)
    assert {f.name: f.state for f in found.findings}["wer"] == "better", found.sentence


def test_a_system_is_not_better_than_itself(systems):
    found = verdict.judge(systems[SAME], systems[SAME], Margins(), (SAME, "again"), resamples=1000)
    assert found.answer == "not shown"
    assert {f.state for f in found.findings if f.margin is not None} == {"not worse"}


def published_whisper() -> Path:
    """Whisper tiny.en as a folder, or skip.

    SPEECHALIGN_TEST_WHISPER names it. Without that, a tool next to the test data makes it once, in the user's cache.
    """
    cache = Path(os.environ.get("SPEECHALIGN_CACHE") or Path.home() / ".cache" / "speechalign")
    folder = Path(os.environ.get("SPEECHALIGN_TEST_WHISPER") or cache / "whisper-tiny.en")
    if (folder / "model.safetensors").is_file():
        return folder
    data = Path(os.environ.get("SPEECHALIGN_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    tool = data.parent / "tools" / "published_whisper.py"
    if "SPEECHALIGN_TEST_WHISPER" in os.environ or not tool.is_file():
        pytest.skip(f"no published Whisper at {folder}; point SPEECHALIGN_TEST_WHISPER at a folder with tiny.en")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, str(tool), "tiny.en", str(folder)]
    try:
        done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip("the published Whisper could not be fetched in three minutes")
    if done.returncode:
        pytest.skip(f"the published Whisper could not be fetched: {done.stderr.splitlines()[-1:]}")
    return folder


@pytest.mark.slow
def test_real_speech_with_words_left_out_is_worse_by_a_published_recognizer(tmp_path):
    corpus = real_speech("librispeech") / "LibriSpeech" / "test-other"
    recognizer = published_whisper()
    texts, recordings = faults.chosen(corpus, each=2)
    faults.write_texts(tmp_path / "texts.tsv", texts, recordings)
    made = {
        SAME: faults.make(tmp_path / SAME, recordings, None),
        "words dropped": faults.make(tmp_path / "words dropped", recordings, faults.dropped),
    }
    rows = judged(tmp_path, str(recognizer), made)
    before = sum(row["word_errors"] for row in rows[SAME]) / sum(row["words"] for row in rows[SAME])
    assert before < 0.35
    found = verdict.judge(*rows.values(), Margins(), (SAME, "dropped"), resamples=1000)
    assert found.answer == "worse" and "WER" in found.sentence, found.sentence
