"""Damaged tests and sheets."""

import json
import os
import re

import pytest

from tasks.common.files import DataError
from tasks.prefer.votes import key as keys
from tasks.prefer.votes import returned, store
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import overwrite, run


def broken_key(**changes):
    def change(folder):
        file = folder / keys.NAME
        content = json.loads(file.read_text())
        content.update(changes)
        file.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / keys.NAME).unlink(), "is no listening test"),
        (overwrite(keys.NAME, b"{"), "key.json is damaged"),
        (overwrite(keys.NAME, b"\xff"), "key.json is damaged"),
        (overwrite(keys.NAME, b"[]"), "key.json is damaged"),
        (broken_key(format=2), "key.json is damaged: format"),
        (broken_key(test="x"), "key.json is damaged: test"),
        (broken_key(trials=[]), "there is no pair to vote on"),
        (broken_key(systems=["one"]), "two systems are compared"),
        (broken_key(scales=["beauty"]), "key.json is damaged: scales"),
        (broken_key(more=1), "key.json is damaged: more"),
        (lambda folder: (folder / "001-A.flac").unlink(), "lacks 1 of its"),
        (overwrite(store.NAME, b"torn\n"), "votes.jsonl line 1 is damaged"),
    ],
)
def test_a_damaged_test_is_one_message(folder, change, message):
    assert run("before", "after", "--texts", "texts.csv").exit_code == 0
    change(folder / "listening")
    for command in ("result", "serve"):
        done = run(command, "listening")
        assert done.exit_code == 3 and message in done.output, done.output


@pytest.mark.parametrize(("name", "found"), [("gone", "no such folder"), ("before", "no key"), ("texts.csv", "a file")])
def test_what_is_no_listening_test_says_how_to_make_one(folder, name, found):
    for command in ("serve", "result"):
        done = run(command, name)
        assert done.exit_code == 3 and f"{name} is no listening test" in done.output and found in done.output
        assert "`speechalign votes before/ after/ --texts texts.csv` makes one of two folders" in done.output


def test_a_key_that_names_other_files_is_refused(folder):
    assert run("before", "after", "--texts", "texts.csv").exit_code == 0
    file = folder / "listening" / keys.NAME
    for name in ("../texts.csv", "/etc/passwd", "key.json", "001-A.flac\\n"):
        file.write_text(re.sub(r'"001-A.flac"', f'"{name}"', file.read_text(), count=1))
        with pytest.raises(DataError, match=r"key.json is damaged: trials\.0\.a\.sound"):
            keys.read(folder / "listening")


HEADER = "test,trial,choice,flipped,rater"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,A,B,choice,rater\nt0,0,1,A,anna\n", "lacks the column(s) test, trial"),
        (f"{HEADER}\nffffffffffff,003,A,0,anna\n", "of the listening test ffffffffffff, this one is TEST"),
        (f"{HEADER}\nTEST,999,A,0,anna\n", "line 2: trial is '999', expected 001 to"),
        (f"{HEADER}\nTEST,003,C,0,anna\n", 'line 2: choice is "C", expected A, B or tie'),
        (f"{HEADER}\nTEST,003,A,0,\n", "line 2: the name of a rater is empty"),
        (f"{HEADER}\nTEST,003,A,2,anna\n", 'line 2: flipped is "2", expected 0 or 1'),
        (f"{HEADER}\nTEST,003,A,0,anna\nTEST,3,B,0,ANNA \n", "line 3: ANNA voted twice on trial 003; first in"),
        (f"{HEADER}\nTEST,003,A,0\n", "has 4 cells where the header has 5"),
        (f'{HEADER}\nTEST,003,"A,0,anna\n', "is not CSV"),
        (f"{HEADER},quality_a,quality_b\nTEST,003,A,0,anna,3,4\n", "quality is rated, but the test does not"),
        (f"{HEADER},seconds\nTEST,003,A,0,anna,soon\n", 'seconds is "soon", expected a number'),
        (f"{HEADER},seconds\nTEST,003,A,0,anna,nan\n", 'seconds is "nan", expected a number'),
        (f"{HEADER}\nTEST,003,,0,\n", "has no votes yet: none of the sheets has a choice filled in ("),
        (f"{HEADER}\nTEST,003,A,0,=cmd|' /C calc'!A0\n", "line 2: the name of a rater must not begin with = or +"),
        (f"{HEADER},test\nTEST,003,A,0,anna,TEST\n", "has a column twice"),
        ("{torn", "is not JSON"),
    ],
)  # fmt: skip
def test_a_bad_sheet_is_one_message_with_its_line(made, tmp_path, text, message):
    folder, key = made
    (tmp_path / "sheet.csv").write_text(text.replace("TEST", key.test))
    done = run("result", folder, tmp_path / "sheet.csv", "--csv", tmp_path / "out.csv")
    assert done.exit_code == 3 and message.replace("TEST", key.test) in done.output, done.output
    assert not (tmp_path / "out.csv").exists()


def test_a_sheet_of_another_test_is_one_line(made, tmp_path):
    folder, key = made
    for name in "ab":
        sheet = listening.sheet(tmp_path / f"{name}.csv", key, name, lambda _: "A")
        sheet.write_text(sheet.read_text().replace(key.test, "ffffffffffff"))
    done = run("result", folder, tmp_path)
    lines = [line for line in done.output.splitlines() if "ffffffffffff" in line]
    assert done.exit_code == 3 and len(lines) == 2 and "unusable line" not in done.output
    n = len(key.trials)
    assert f"a.csv: {n} votes of it are of the listening test ffffffffffff, this one is {key.test}" in lines[0]


def test_a_file_named_twice_is_read_once(made, tmp_path):
    folder, key = made
    sheet = listening.sheet(tmp_path / "same.csv", key, "anna", lambda trial: trial.right or "A")
    (tmp_path / "link.csv").symlink_to("same.csv")
    once = returned.read(folder, key, [sheet])
    for sheets in ([sheet, sheet], [sheet, tmp_path], [tmp_path / "link.csv", tmp_path / "." / "same.csv"]):
        assert len(returned.read(folder, key, sheets)) == len(once) == len(key.trials)


def test_the_folder_of_the_test_may_be_named_as_sheets_too(served):
    folder, key, open_ = served
    client = open_()
    listening.begin(client)
    listening.vote(client)
    listening.sheet(folder / "sheet.csv", key, "ben", lambda trial: "B" if trial.trial == "004" else "")
    assert [(cast.name, cast.choice) for cast in returned.read(folder, key, [folder])] == [("Anna", "A"), ("ben", "B")]


@pytest.mark.parametrize("rater", ["anna", " ANNA", "an\u200bna", "\uff21nna"])
def test_one_rater_in_two_files_of_one_name_is_counted_in_neither(made, tmp_path, rater):
    folder, key = made
    sheets = []
    for name, who, choice in (("s1", "anna", "A"), ("s2", rater, "B")):
        (tmp_path / name).mkdir()
        sheets.append(listening.sheet(tmp_path / name / "votes.csv", key, who, lambda _, choice=choice: choice))
    with pytest.raises(DataError, match=r"s2/votes.csv line 2: .* voted twice on trial 001; first in .*s1/votes.csv"):
        returned.read(folder, key, sheets)


@pytest.mark.parametrize("ratings", [("0", "3"), ("6", "3"), ("3", ""), ("3.5", "3"), ("good", "3")])
def test_a_rating_out_of_range_is_refused(folder, ratings):
    assert run("before", "after", "--texts", "texts.csv", "--scale", "quality").exit_code == 0
    key = keys.read(folder / "listening")
    columns = dict(zip(("quality_a", "quality_b"), ratings, strict=True))
    listening.sheet(folder / "anna.csv", key, "anna", lambda _: "A", **columns)
    done = run("result", "listening", "anna.csv")
    assert done.exit_code == 3 and "expected numbers from 1 to 5" in done.output


def test_an_unknown_sheet_is_one_message(made, tmp_path):
    done = run("result", made[0], tmp_path / "gone.csv")
    assert done.exit_code == 3 and "gone.csv does not exist" in done.output
    done = run("result", made[0], tmp_path)
    assert done.exit_code == 3 and "holds no .csv" in done.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_message(folder):
    folder.chmod(0o500)
    done = run("before", "after", "--texts", "texts.csv")
    folder.chmod(0o700)
    assert done.exit_code == 3 and "Permission denied" in done.output
