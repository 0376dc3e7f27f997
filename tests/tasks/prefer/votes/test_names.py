"""Names of raters, and cells that spreadsheets would take for formulas."""

import csv
import io

import pytest

from tasks.prefer.votes import names
from tasks.prefer.votes.cells import marked, unmarked
from tasks.prefer.votes.sheet import rows

PERSIAN = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"  # with a zero-width non-joiner
SCIENTIST = "\U0001f469\u200d\U0001f52c"  # two emoji and a joiner


@pytest.mark.parametrize(
    "name", ["Anna", "Анна 'A'", "李", PERSIAN, SCIENTIST, "José", "O'Neil", "7", "R2-D2", "x" * 80]
)
def test_names_of_all_scripts_are_taken_and_kept(name):
    assert names.problem(name) is None
    assert names.shown(f"  {name} ") == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty"), (" ", "empty"), ("\u200d", "empty"), ("\u3164", "empty"), ("\ufe0f\u200b", "empty"),
        ("a\nb", "one line"), ("a\x00b", "one line"), ("a\tb", "one line"), ("a\x1b[31m", "one line"),
        ("x" * 81, "80 characters"), ("=cmd|' /C calc'!A0", "begin with"), ("@x", "begin with"), (" +1", "begin with"),
        ("\u200b=1", "begin with"), ("\uff1d1", "begin with"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_used_is_told_in_plain_words(name, message):
    assert message in names.problem(name) and "pattern" not in names.problem(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("José", "jose\u0301"), ("Anna", "AN\u200bNA"), ("Anna", "An\u00adna"), ("Anna", "\u202eAnna"),
     ("a b", " A\u00a0b"), ("Straße", "STRASSE"), (PERSIAN, PERSIAN.replace("\u200c", "")), ("\uff21nna", "Anna")],
)  # fmt: skip
def test_ways_to_write_one_name_are_one_rater(one, other):
    assert names.folded(one) == names.folded(other)
    assert names.folded(one) != names.folded(one + "x")


def test_a_name_is_kept_without_characters_that_turn_the_text_around():
    assert names.shown("\u202eAnna\u202c") == "Anna"


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x";"y")', "+1", "-1", "@SUM(1)", " =1", "\uff1d1", "'=1", "''-x", "'tis", "plain", "a=b"],
)
def test_no_cell_is_a_formula_and_each_is_read_back(tmp_path, text):
    handle = io.StringIO()
    table = csv.DictWriter(handle, ["id", "a", "b", "choice", "rater"])
    table.writeheader()
    table.writerow(marked({"id": text, "a": 0, "b": 1, "choice": "A", "rater": "anna"}))
    (tmp_path / "votes.csv").write_text(handle.getvalue(), encoding="utf-8")
    written = next(csv.DictReader(io.StringIO(handle.getvalue())))["id"]
    assert written.lstrip()[0] not in "=+-@\uff1d"
    [(_, cells)] = rows(tmp_path / "votes.csv")
    assert cells["id"].strip() == text.strip() == unmarked(str(marked({"": text})[""])).strip()
