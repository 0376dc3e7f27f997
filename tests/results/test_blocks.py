"""Blocks of documents, made from kept runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from results import blocks, runs
from results.__main__ import app
from tasks.common.files import DataError
from tests.conftest import REPOSITORY
from tests.results import kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    runs.keep("demo", kept.workspace(tmp_path / "work"), "make demo", commit="abc123")
    return tmp_path


def made(what: str) -> str:
    """Content of one block."""
    Path("README.md").write_text(f"before <!-- results: {what} -->old<!-- end --> after")
    text = blocks.render(Path("README.md"))
    assert text.startswith("before <!-- results: ") and text.endswith("<!-- end --> after")
    return text.split("-->", 1)[1].removesuffix("<!-- end --> after")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("value demo 1 test best long all wer", "8.0 [7.0, 9.0]"),
        ("value demo 1 test loop long all wer", "16.0 [15.0, 17.0]"),
        ("value demo 1 test best long versus_start wer", "−12.00 [−13.00, −11.00]"),
        ("value demo 1 dev best recorded unseen similarity", "0.700 [0.690, 0.710]"),
        ("value demo 1 test best long all cer", "–"),
        ("relative demo 1 test best long wer", "−60 %"),
        ("relative demo 1 test best recorded similarity", "+0 %"),
        ("study demo dpo 1 long all wer", "8.0 [7.0, 9.0]"),
        ("study demo dpo 1 long versus_start wer", "−12.00 [−13.00, −11.00]"),
        ("study_relative demo dpo 1 long wer", "−60 %"),
    ],
)
def test_a_value_fits_into_a_sentence(folder: Path, what: str, expected: str) -> None:
    assert made(what) == expected


def test_the_origin_names_command_commit_machine_and_size(folder: Path) -> None:
    text = made("origin demo")
    assert "`make demo` at commit `abc123`" in text
    assert "Some CPU; test: 24 recorded and 24 long texts, 4 draws each" in text


@pytest.mark.parametrize(
    ("what", "row"),
    [
        ("policies demo long", "| start | T 0.5 | 20.0 [19.0, 21.0] | 0.700 [0.690, 0.710] |"),
        ("policies demo long loop", "| iteration 1 | T 1 | 16.0 [15.0, 17.0] | 0.700 [0.690, 0.710] |"),
        ("policies demo recorded", "| golden speech | – | 6.0 [5.0, 7.0] | 0.700 [0.690, 0.710] |"),
        ("differences demo long", "| iteration 1 | −12.00 [−13.00, −11.00] |"),
        ("differences demo recorded loop", "| iteration 1 | −6.00 [−7.00, −5.00] |"),
        ("choice demo 0", "| T 1 | 10.0 | 40.0 |"),
        ("choice demo 0", "| **T 0.5** | **5.0** | **20.0** |"),
        ("decoding demo", "| start | T 0.5 | 0.750 | – | – | – |"),
        ("decoding demo", "| iteration 1 | T 0.5 | 0.750 | 0.1250 | 0.80 | 10 |"),
        (
            "voices demo",
            "| iteration 1 | 2.0 [1.0, 3.0] | 2.0 [1.0, 3.0] | 0.700 [0.690, 0.710] | 50 | 0.700 [0.690, 0.710] | 50 |",
        ),
        ("voices demo long", "| two different speakers' golden speech | – | – | 0.600 | – | 0.600 | – |"),
        ("gap demo", "| no gap, by chance | 0.0010 | – | 50 | – | 0.1 | 1 |"),
        ("gap demo", "| iteration 1 | 0.0200 [0.0100, 0.0300] | +0.0040 [−0.0060, +0.0140] |"),
        ("gap_cost demo", "| synthetic, start | 5.0 [4.0, 6.0] | +2.00 [+1.00, +3.00] |"),
    ],
)
def test_a_table_has_the_numbers_of_the_run(folder: Path, what: str, row: str) -> None:
    text = made(what)
    assert row in text
    assert len({line.count("|") for line in text.strip().splitlines()}) == 1


def test_a_page_is_taken_over_with_its_headings_one_level_down(folder: Path) -> None:
    text = made("page demo study")
    assert text.strip().startswith("Three seeds.\n\n### Controls\n\n| arm | WER |")
    assert "### Methods" in text and "| IPO | 2.0 |" in text


def test_printed_outputs_are_taken_over(folder: Path) -> None:
    runs.keep_output("demo", "speed", ["echo", "3.3x"])
    assert made("printed demo speed") == "\n```\n$ echo 3.3x\n3.3x\n```\n"


def test_a_run_that_is_not_kept_leaves_a_note(folder: Path) -> None:
    assert made("policies fsdd long") == "\n*no run is kept in results/fsdd yet*\n"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing demo", "there is no table 'nothing'"),
        ("value demo 9 test best long all wer", "runs/9/metrics.json does not exist"),
        ("decoding demo 1", "takes 1 positional argument but 2 were given"),
        ("value demo 1 test best long all no_such_metric", "no_such_metric"),
        ("policies demo short", "no scores of test/best/short"),
        ("page demo nothing", "reports/nothing.md does not exist"),
        ("study demo dpo 2 long all wer", "has no arm dpo with iteration 2 on long texts"),
        ("printed demo none", "none.txt does not exist"),
    ],
)
def test_a_block_that_cannot_be_made_is_named(folder: Path, what: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(what)


@pytest.mark.parametrize(
    ("what", "file", "content", "message"),
    [
        ("origin demo", "run.yaml", "[]", "run.yaml should name commit, date, machine, command"),
        ("origin demo", "run.yaml", "commit: {", "run.yaml should name commit, date, machine, command"),
        ("policies demo long", "runs/0/metrics.json", "[]", "metrics.json should hold named entries, found list"),
        ("policies demo long", "runs/0/metrics.json", "{", "metrics.json is not valid JSON"),
        ("policies demo long", "runs/0/metrics.json", '{"decoding": 3}', "cannot be made"),
        ("value demo 0 test best long all wer", "runs/0/metrics.json", '{"scores": "wer"}', "cannot be made"),
        ("voices demo", "runs/ceiling/metrics.json", '{"golden": 1}', "cannot be made"),
    ],
)
def test_a_damaged_file_of_a_kept_run_is_named(folder: Path, what: str, file: str, content: str, message: str) -> None:
    (folder / "results/demo" / file).write_text(content)
    with pytest.raises(DataError, match=message):
        made(what)


def test_a_block_without_its_end_does_not_swallow_the_next(folder: Path) -> None:
    text = "<!-- results: policies demo long -->\n# Next\n<!-- results: gap demo -->\n<!-- end -->\n"
    Path("README.md").write_text(text)
    with pytest.raises(DataError, match="the block `policies demo long` has no `<!-- end -->`"):
        blocks.render(Path("README.md"))


@pytest.mark.parametrize("command", ["check", "write"])
def test_a_folder_without_documents_is_said(folder: Path, command: str) -> None:
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 1 and "no document in" in str(result.exception)


def test_check_finds_what_write_would_change(folder: Path) -> None:
    def run(command: str):
        return CliRunner().invoke(app, [command])

    Path("docs").mkdir()
    Path("docs/results.md").write_text("# Results\n\n<!-- results: policies demo long -->\n<!-- end -->\n")
    assert run("check").exit_code == 1
    assert run("write").exit_code == 0
    assert run("check").exit_code == 0
    runs.keep("demo", kept.workspace(folder / "work", long=0.3), "make demo", commit="abc123")
    assert run("check").exit_code == 1
    assert blocks.stale(Path("docs/results.md")) == ["policies demo long"]


def test_the_documents_of_this_project_say_what_its_kept_runs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    stale = {document.name: blocks.stale(document) for document in blocks.documents()}
    assert stale and not any(stale.values()), "run `python -m results write`"
