"""Bad input: one message, status 3, and no model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from model.errors import InputError
from tasks.gate import run
from tests.conftest import REPOSITORY
from tests.tasks.gate.conftest import gate, write_texts

BAD = {
    "no folder": (["{a}", "nowhere", "--texts", "{texts}"], "expected a folder of recordings"),
    "a file as a folder": (["{texts}", "{a}", "--texts", "{texts}"], "expected a folder of recordings"),
    "an empty folder": (["{a}", "{empty}", "--texts", "{texts}"], "holds no recordings"),
    "no texts": (["{a}", "{b}", "--texts", "nowhere.csv"], "does not exist"),
    "texts that are audio": (["{a}", "{b}", "--texts", "{a}/t0.flac"], "is not UTF-8 text"),
    "a folder without texts": (["{a}", "{b}", "--texts", "{empty}"], "holds 0 lists of texts"),
    "other texts": (["{a}", "{b}", "--texts", "{other}"], "belongs to a text"),
    "no prompts folder": (["{a}", "{b}", "--texts", "{texts}", "--prompts", "nowhere"], "expected a folder"),
    "no prompt of a text": (
        ["{a}", "{b}", "--texts", "{texts}", "--prompts", "{empty}"],
        "prompt of none of the 4 texts",
    ),
    "a broken prompt": (["{a}", "{b}", "--texts", "{texts}", "--prompts", "{broken}"], "a voice prompt, can't be used"),
    "an unknown margin": (["{a}", "{b}", "--texts", "{texts}", "--margin", "pitch=1"], "expected one of wer"),
    "a margin without a value": (["{a}", "{b}", "--texts", "{texts}", "--margin", "wer"], "expected a number"),
    "an unknown recognizer": (["{a}", "{b}", "--texts", "{texts}", "--recognizer", "x"], "x holds no recognizer"),
    "an unknown device": (["{a}", "{b}", "--texts", "{texts}", "--device", "tpu"], "expected auto, cpu or cuda"),
    "a folder to write": (
        ["{a}", "{b}", "--texts", "{texts}", "--out", "{empty}"],
        "expected a file that can be written",
    ),
    "a place without a file system": (["{a}", "{b}", "--texts", "{texts}", "--out", "/proc/g.html"], "can be written"),
    "a file above the page": (["{a}", "{b}", "--texts", "{texts}", "--out", "{texts}/gate.html"], "can be written"),
    "a name too long for a file": (["{a}", "{b}", "--texts", "{texts}", "--out", "x" * 300], "can be written"),
    "no --texts": (["{a}", "{b}"], "--texts"),
    "one folder": (["{a}", "--texts", "{texts}"], "Missing argument"),
    "three folders": (["{a}", "{b}", "{a}", "--texts", "{texts}"], "unexpected extra argument"),
    "an unknown option": (["{a}", "{b}", "--texts", "{texts}", "--colour"], "No such option"),
    "too few resamples": (["{a}", "{b}", "--texts", "{texts}", "--resamples", "5"], "1000"),
    "an empty name": (["", "{b}", "--texts", "{texts}"], "name is empty"),
    "one folder in the other": (["{b}", "{b}/draws", "--texts", "{texts}"], "would count for both systems"),
    "the other in the one": (["{b}/draws", "{b}", "--texts", "{texts}"], "would count for both systems"),
    "a page over the texts": (["{a}", "{b}", "--texts", "{texts}", "--out", "{texts}"], "is an input of this"),
    "a page over a recording": (["{a}", "{b}", "--texts", "{texts}", "--out", "{a}/t0.flac"], "is an input of this"),
    "a text of remarks alone": (["{a}", "{b}", "--texts", "{remarks}"], "no reference words in t0"),
    "a table by similarity without prompts": (
        ["table", "{a}", "{b}", "--texts", "{texts}", "--by", "similarity"],
        "not measured without voice prompts",
    ),
    "a table by MOS without it": (
        ["table", "{a}", "{b}", "--texts", "{texts}", "--by", "mos", "--no-mos"],
        "not measured without --mos",
    ),
    "a bad location": (["s3://", "{b}", "--texts", "{texts}"], "is not an S3 location"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message_and_status_3(spoken, tmp_path, name):
    arguments, message = BAD[name]
    places = {name: spoken / name for name in ("a", "b", "prompts")} | {"texts": spoken / "texts.csv"}
    for folder in ("empty", "broken"):
        (tmp_path / folder).mkdir()
        places[folder] = tmp_path / folder
    for voice in ("m1", "f2"):
        (tmp_path / "broken" / f"{voice}.wav").write_bytes(b"RIFF")
    places["other"] = write_texts(tmp_path, "id,text\nz,One\n")
    (tmp_path / "remarks.csv").write_text("id,text\nt0,[laughs] (loud)\nt1,One four\n")
    places["remarks"] = tmp_path / "remarks.csv"
    done = gate(*(str(argument).format(**places) for argument in arguments))
    assert done.exit_code == 3, done.output
    assert message in " ".join(done.output.replace("│", " ").split()), done.output
    assert "Traceback" not in done.output


def test_draws_that_can_not_be_paired_are_refused_before_the_judging():
    run.check_draws([2, 4, 7])
    with pytest.raises(InputError, match="the systems have 1 and 250 draws per text, which can't be paired"):
        run.check_draws([1, 250])


def test_a_prompt_that_is_named_and_not_there_is_told_before_the_judging(spoken, tmp_path, capsys):
    (tmp_path / "meta.lst").write_text("t0|four|p/m1.wav|Seven two nine\n")
    run.read(str(tmp_path / "meta.lst"), [str(spoken / "a")], None)
    assert "warning: 1 voice prompt named in" in capsys.readouterr().err


def test_a_job_summary_that_can_not_be_written_is_found_before_the_judging(spoken, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/proc/summary.md")
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv", "--github")
    assert done.exit_code == 3 and "GITHUB_STEP_SUMMARY is /proc/summary.md" in done.output


def test_bad_input_ends_before_anything_heavy_is_imported(spoken):
    code = "import sys\nfrom flows.cli import app\ntry:\n app(sys.argv[1:])\nfinally:\n print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "gate", spoken / "a", spoken / "nowhere", "--texts", spoken / "texts.csv"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 3 and "nowhere is not there" in done.stderr
    assert not set(done.stdout.split()) & {"torch", "whisper", "transformers", "dvc", "prefect", "mlflow", "pandas"}
