"""Outputs of ``votes result`` that would destroy what it reads."""

import pytest

from tasks.prefer.votes import key as keys
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import run


@pytest.fixture
def voted(folder):
    """A listening test in ``listening/`` and two sheets, ``anna.csv`` and ``returned/ben.csv``."""
    assert run("before", "after", "--texts", "texts.csv").exit_code == 0
    key = keys.read(folder / "listening")
    (folder / "returned").mkdir()
    for path, rater in ((folder / "anna.csv", "anna"), (folder / "returned/ben.csv", "ben")):
        listening.sheet(path, key, rater, lambda trial: trial.right or "A")
    return folder


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--csv", "anna.csv"), "--csv anna.csv would replace the votes in anna.csv"),
        (("--pairs", "returned/../anna.csv"), "would replace the votes in anna.csv"),
        (("--csv", "returned/ben.csv"), "lies among the sheets in returned"),
        (("--pairs", "returned/pairs.jsonl"), "lies among the sheets in returned, and would be read as one next time"),
        (("--csv", "returned"), "--csv returned is a folder"),
        (("--json", "listening"), "--json listening is a folder"),
        (("--csv", "listening/key.json"), "would replace a file of the listening test"),
        (("--json", "listening/votes.jsonl"), "would replace a file of the listening test"),
        (("--json", "listening/001-A.flac"), "would replace a file of the listening test"),
        (("--json", "listening/.votes.jsonl.lock"), "would replace a file of the listening test"),
        (("--csv", "link.csv"), "would replace the votes in anna.csv"),
        (("--csv", "anna.csv/out.csv"), "anna.csv is a file"),
        (("--csv", "x.csv", "--json", "./x.csv"), "--json x.csv is the file of --csv too"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_output_that_is_an_input_is_refused_before_anything_is_written(voted, options, message):
    (voted / "link.csv").symlink_to("anna.csv")
    before = content(voted)
    done = run("result", "listening", "anna.csv", "returned", "--pairs", "pairs.out", *options)
    assert done.exit_code == 3 and message in done.output, done.output
    assert content(voted) == before


def test_an_earlier_result_may_be_replaced(voted):
    for _ in range(2):
        done = run("result", "listening", "anna.csv", "returned", "--csv", "out/1.csv", "--json", "listening/now.json")
        assert done.exit_code == 0, done.output
    assert (voted / "out/1.csv").is_file() and (voted / "listening/now.json").is_file()
