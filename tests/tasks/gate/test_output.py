"""An answer that can't be written is no verdict, and no answer is lost to a page or a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.gate.output import written_out
from tests.conftest import REPOSITORY
from tests.tasks.gate.conftest import JUDGES, embedded, gate

FULL = Path("/dev/full")
RUN = [sys.executable, "-c", "from flows.cli import main; main()", "gate"]


def started(*arguments: object, **options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.run([*RUN, *map(str, arguments)], env=environment, **{"stderr": subprocess.PIPE, **options})


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_standard_output_is_no_verdict_and_tells_the_answer():
    with FULL.open("w") as full:
        done = started("power", "--texts", 400, stdout=full, text=True)
        quiet = started("power", "--texts", 400, stdout=full, **{"stderr": full})
    assert (done.returncode, quiet.returncode) == (3, 3)
    assert "standard output can't be written: No space left on device. The answer was: seen with" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_verdict():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = started("power", "--texts", 400, stdout=pipe, text=True)
    assert done.returncode == 3 and "can't be written: Broken pipe" in done.stderr, done.stderr
    assert started("power", "--texts", "0", stdout=subprocess.PIPE).returncode == 3


@embedded
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_verdict_nobody_got_has_no_status_of_a_verdict(spoken):
    with FULL.open("w") as full:
        done = started(
            spoken / "a", spoken / "b", "--texts", spoken / "texts.csv", "--no-mos", *JUDGES, "--json", stdout=full,
            text=True,
        )  # fmt: skip
    assert done.returncode == 3 and "The answer was: Not shown: 4 texts are too few" in done.stderr, done.stderr


@embedded
def test_an_ascii_terminal_gets_its_answer(spoken, tmp_path):
    shutil.copytree(spoken / "b" / "draws", tmp_path / "after é")
    page = tmp_path / "gate.html"
    done = started(
        spoken / "a", tmp_path / "after é", "--texts", spoken / "texts.csv", "--no-mos", *JUDGES, "--out", page,
        stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stdout.decode("ascii").rstrip().splitlines()[-1].startswith("Not shown: 4 texts are too few")
    assert "after é" in page.read_text(encoding="utf-8")


def test_a_folder_whose_name_is_no_utf8_is_told_not_crashed_on(spoken, tmp_path):
    folder = tmp_path / os.fsdecode(b"after \xe9")
    shutil.copytree(spoken / "b" / "draws", folder)
    done = gate(spoken / "a", os.fspath(folder), "--texts", spoken / "texts.csv")
    assert done.exit_code == 3 and "is not in UTF-8; rename it" in done.stderr, done.output


@embedded
def test_the_verdict_is_printed_before_a_page_that_can_not_be_written(spoken, monkeypatch):
    from tasks.gate import page

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write", full)
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv", "--no-mos", *JUDGES, "--out", "g.html")
    assert done.exit_code == 3 and "Not shown: 4 texts are too few" in done.stdout
    assert "--out g.html can't be written: No space left on device; the answer is above" in done.stderr


def test_what_a_stream_can_not_encode_is_told():
    assert written_out(os.fsdecode(b"caf\xe9") + " − ü") == "caf\\xe9 − ü"
    assert "−31 % ü".encode("ascii", "speechalign_plain") == b"-31 % ?"
