"""The stage: a page from the files of a loop, the same bytes each time, clear words where files are damaged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.common import paths
from tasks.common.files import DataError
from tasks.report.__main__ import main, write
from tests.tasks.report.loop import REPOSITORY, Loop


@pytest.fixture
def loop(make_loop: Callable[..., Loop]) -> Loop:
    return make_loop()


def test_command_writes_the_page_and_says_where(loop: Loop) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.report"],
        cwd=loop.root,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "reports/index.html" in done.stdout
    assert paths.REPORT.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_same_inputs_give_the_same_bytes(loop: Loop) -> None:
    write(Path("first.html"))
    write(Path("second.html"))
    assert Path("first.html").read_bytes() == Path("second.html").read_bytes()


def test_another_input_gives_another_page(loop: Loop) -> None:
    write(Path("first.html"))
    text = paths.metrics("3").read_text()
    paths.metrics("3").write_text(text.replace('"failed": ', '"failed": 1'))
    write(Path("second.html"))
    assert Path("first.html").read_bytes() != Path("second.html").read_bytes()


def test_nothing_evaluated_is_one_clear_message(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("runs")
    with pytest.raises(SystemExit) as stopped:
        main(paths.REPORT)
    assert stopped.value.code == 1
    assert "nothing to report" in capsys.readouterr().err
    assert not paths.REPORT.exists()


def table(scores: bytes) -> bytes:
    """A metrics.json with these scores over all speakers."""
    decoding = b'"decoding": {"best": {"temperature": 1}, "loop": {"temperature": 1}}'
    return b'{%b, "scores": {"test": {"best": {"long": {"all": %b}}}}}' % (decoding, scores)


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("runs/2/metrics.json", b"{", "runs/2/metrics.json is not valid JSON"),
        ("runs/2/metrics.json", table(b'{"wer": 3}'), "should hold the numbers value, low and high"),
        ("runs/2/metrics.json", table(b'{"wer": {"value": NaN, "low": 0, "high": 1}}'), "holds NaN"),
        ("runs/2/metrics.json", b"[]", "should hold named entries, found list"),
        ("runs/2/metrics.json", b'{"all": {}}', "should hold decodings and scores"),
        ("runs/ceiling/metrics.json", b'{"voices": {"seen": {"floor": 3}}}', "floor should hold the numbers"),
        ("runs/ceiling/metrics.json", b"[]", "should hold named entries, found list"),
        ("runs/1/utterances.parquet", b"PAR1", "runs/1/utterances.parquet is not a readable parquet file"),
        ("runs/1/pairs.parquet", b"PAR1", "runs/1/pairs.parquet is not a readable parquet file"),
        ("runs/ceiling/audio/index.json", b'{"id": 1}', "should hold a list, found dict"),
        ("data/cuts/test.jsonl.gz", b"not gzip", "data/cuts/test.jsonl.gz is not readable"),
    ],
)
def test_damaged_file_is_named(loop: Loop, path: str, content: bytes, says: str) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(DataError, match=says):
        write(paths.REPORT)
    assert not paths.REPORT.exists()


def test_damaged_audio_is_named(loop: Loop) -> None:
    sound = next(Path("runs/1/audio").glob("*.flac"))
    sound.write_bytes(b"fLaC and then nothing")
    with pytest.raises(DataError, match=sound.name):
        write(paths.REPORT)
