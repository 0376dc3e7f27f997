"""Bad input: one message, status 3, and no model is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from model.errors import InputError
from tasks.gate import run
from tests.conftest import REPOSITORY
from tests.tasks.gate.conftest import gate

LONG = "x" * 300
LISTS = {
    "other": b"id,text\nz,One\n",
    "remarks": b"id,text\nt0,[laughs] (loud)\nt1,One four\n",
    "lines": b'id,text\n"t0\nx",One four\n',
    "escape": b"id,text\n\x1b[31mt0,One four\n",
    "utf16": "id,text\nt0,One four\n".encode("utf-16"),
    "bare": b"t0,One four\n",
    "huge": b"id,text\nt0," + b"a" * 140_000 + b"\n",
    "open": b'id,text\nt0,"One four\nt1,Two\n',
}
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
    "an empty name": (["", "{b}", "--texts", "{texts}"], "the argument after compare is empty; expected a value"),
    "an empty option": (["{a}", "{b}", "--texts", "{texts}", "--second", ""], "after --second is empty"),
    "a margin given twice": (
        ["{a}", "{b}", "--texts", "{texts}", "--margin", "wer=0.1", "--margin", "wer=0.2"],
        "--margin wer is given twice",
    ),
    "a list with a long name": (["{a}", "{b}", "--texts", LONG], "does not exist"),
    "a folder with a long name": ([LONG, "{b}", "--texts", "{texts}"], "is not there"),
    "prompts with a long name": (["{a}", "{b}", "--texts", "{texts}", "--prompts", LONG], "is not there"),
    "a link to itself": (["{loop}", "{b}", "--texts", "{texts}"], "is not there"),
    "a list that is a link to itself": (["{a}", "{b}", "--texts", "{loop}"], "does not exist"),
    "a line end in an id": (["{a}", "{b}", "--texts", "{lines}"], "has a control character or a line end in it"),
    "a control character in an id": (["{a}", "{b}", "--texts", "{escape}"], "a control character"),
    "a control character in a file's name": (["{red}", "{b}", "--texts", "{texts}"], "holds '\\x1b[31m.wav', a name"),
    "a line end in a folder's name": (["a\nb", "{b}", "--texts", "{texts}"], "'a\\nb' has a control character"),
    "a prompt of 3 ms": (["{a}", "{b}", "--texts", "{texts}", "--prompts", "{click}"], "has 0.003 s; expected"),
    "a page over a pipe": (["{a}", "{b}", "--texts", "{texts}", "--out", "{pipe}"], "it is a pipe or a device"),
    "a page named as a recording": (["{a}", "{b}", "--texts", "{texts}", "--out", "{a}/t9.wav"], "of a recording"),
    "a list in UTF-16": (["{a}", "{b}", "--texts", "{utf16}"], "is not UTF-8 text"),
    "a list without a header": (["{a}", "{b}", "--texts", "{bare}"], "lacks id and text; found ['t0', 'One four']"),
    "a list with a huge field": (["{a}", "{b}", "--texts", "{huge}"], "field larger than field limit"),
    "a quote that is never closed": (["{a}", "{b}", "--texts", "{open}"], "unexpected end of data"),
    "a folder that is called a recording": (["{folders}", "{b}", "--texts", "{texts}"], "holds no recordings"),
    "a table of one": (["table", "{a}", "--texts", "{texts}"], "two systems or more"),
    "a table by an unknown measure": (["table", "{a}", "{b}", "--texts", "{texts}", "--by", "WER"], "expected one of"),
    "half a text": (["power", "--texts", "1.5"], "valid integer"),
    "a rate that is none": (["power", "--texts", "10", "--wer", "nan"], "a share above 0 and below 1"),
    "endless texts": (["power", "--texts", "10", "--words", "inf"], "a number from 1 to 10,000,000"),
    "one folder in the other": (["{b}", "{b}/draws", "--texts", "{texts}"], "would count for both systems"),
    "the other in the one": (["{b}/draws", "{b}", "--texts", "{texts}"], "would count for both systems"),
    "a page over the texts": (["{a}", "{b}", "--texts", "{texts}", "--out", "{texts}"], "is an input of this"),
    "a page over a recording": (["{a}", "{b}", "--texts", "{texts}", "--out", "{a}/t0.flac"], "name of a recording"),
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
    for called, content in LISTS.items():
        places[called] = tmp_path / f"{called}.csv"
        places[called].write_bytes(content)
    for folder, file, samples in (("red", "\x1b[31m.wav", 8000), ("click", "t0.wav", 50)):
        places[folder] = tmp_path / folder
        places[folder].mkdir()
        soundfile.write(places[folder] / file, np.sin(np.arange(samples) / 9), 16000)
    places |= {"loop": tmp_path / "loop", "pipe": tmp_path / "gate.html", "folders": tmp_path / "folders"}
    places["loop"].symlink_to("loop")
    os.mkfifo(places["pipe"])
    (places["folders"] / "t0.wav").mkdir(parents=True)
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
