import json
import math

import pytest

from model.judges.panel import Judgement
from model.pairs.votes import rater_agreement
from tasks.common.files import DataError
from tasks.prefer.sources import pair_up, source_of
from tasks.prefer.votes import ballots
from tests.tasks import sampled
from tests.tasks.register import tiny

SAMPLES, GOLDEN = sampled.samples(), sampled.golden()
HEADER = "id,A,B,choice,rater"


def load(path, iteration="1"):
    return ballots.load(path, iteration, SAMPLES, GOLDEN)


def written(tmp_path, *lines, header=HEADER, name="votes.csv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_csv_and_json_lines_say_the_same(tmp_path):
    table = written(tmp_path, "u0,0,1,A,anna", "u1,golden,2,b,ben", "u1,0,1,TIE,ben", header="ID,a,b,Choice,Rater")
    lines = tmp_path / "votes.jsonl"
    rows = [("u0", 0, 1, "A", "anna"), ("u1", "Golden", "2", "B", "ben"), ("u1", 0, 1, "tie", "Ben")]
    lines.write_text("".join(json.dumps(dict(zip("id A B choice rater".split(), r, strict=True))) + "\n" for r in rows))

    assert load(table) == load(lines)
    cast = load(table)
    assert [(v.a, v.b, v.winner) for v in cast.votes] == [(0, 1, 0), (-1, 5, 5), (3, 4, None)]
    assert cast.raters == 2 and cast.name == f"votes@{cast.digest}:2"


@pytest.mark.parametrize(
    "text", ["\ufeffid;A;B;choice;rater\nu0;0;1;A;anna\n", "id\tA\tB\tchoice\trater\nu0\t0\t1\tA\tanna"]
)
def test_sheets_as_spreadsheets_save_them_are_read(tmp_path, text):
    path = tmp_path / "votes.csv"
    path.write_text(text, encoding="utf-8")
    assert len(load(path).votes) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nobody,0,1,A,anna", "line 3: iteration 1 did not sample nobody"),
        ("u0,0,7,A,anna", 'line 3: B is "7", expected golden or a draw of u0: 0, 1, 2'),
        ("u0,1,1,A,anna", "line 3: A and B are both 1"),
        ("u0,golden,GOLDEN,A,anna", "line 3: A and B are both golden"),
        ("u0,0,1,C,anna", 'line 3: choice is "C", expected A, B or tie'),
        ("u0,0,1,,anna", 'line 3: choice is ""'),
        ("u0,0,1,A,", "line 3: rater is empty"),
        ("u1,0,1,B,anna", "line 3: anna voted twice on 0 and 1 of u1; first in votes.csv line 2"),
        ("u1,1,0,B,anna", "line 3: anna voted twice on 1 and 0 of u1"),
        ("u1,1,0,tie, ANNA ", "line 3: ANNA voted twice"),
        ("u0,0,1", "line 3 has 3 cells where the header has 5; the file is torn"),
        ('u0,0,1,A,"anna', "line 3 is not CSV"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    with pytest.raises(DataError) as error:
        load(written(tmp_path, "u1,0,1,A,anna", line))
    assert message in str(error.value)


def test_problems_of_all_kinds_are_in_one_message(tmp_path):
    with pytest.raises(DataError) as error:
        load(written(tmp_path, "u0,0,1,C,anna", "nobody,0,1,A,anna", "u0,0,1,A,", "u0,0,9,A,anna"))
    assert all(f"line {number}: " in str(error.value) for number in (2, 3, 4, 5))


def test_the_first_problems_are_spelled_out_and_the_rest_counted(tmp_path):
    with pytest.raises(DataError) as error:
        load(written(tmp_path, *(f"x{i},0,1,A,anna" for i in range(8))))
    text = str(error.value)
    assert "8 unusable line(s)" in text and "line 6" in text and "line 7" not in text and "and 3 more" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"id,A,B,choice,rater\n", "holds no votes; it is empty"),
        (b"id,A,B,choice,rater\nu0,0,1,,\n", "none of its 1 lines has a choice and a rater"),
        (b"id,A,B,choice\nu0,0,1,A\n", "lacks the column(s) rater; it has id, A, B, choice"),
        (b"id,A,a,B,choice,rater\n", "has a column twice"),
        (b"id,A,B,choice,rater\nu0,0,1,A,\xff\xfe\n", "is not text in UTF-8 (byte 29)"),
        (b"PK\x03\x04\x00\x00", "lacks the column(s)"),
        (b'{"id": "u0", "A": 0, "B": 1, "choice": "A", "rater": "anna"}\n{"id": "u0", "A', "line 2 is not JSON"),
        (b'{"id": "u0", "A": 0, "B": 1, "choice": "A"}\n', "line 1 lacks the column(s) rater"),
        (b'{"id": "u0", "A": 0, "B": 1, "choice": "A", "rater": "x"}\n[1]\n', "should hold one vote as an object"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused(tmp_path, content, message):
    path = tmp_path / "votes"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load(path)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        load(tmp_path / "gone.csv")


def sheet(tmp_path, **changes):
    """One vote on draws 0 and 1 of u0 that says what was heard."""
    line = {
        "id": "u0", "A": "0", "B": "1", "choice": "A", "rater": "anna", "policy": SAMPLES[0]["policy"],
        "a_seed": hex(SAMPLES[0]["seed"]), "b_seed": str(SAMPLES[1]["seed"]),
        "a_tokens": ballots.token_digest(SAMPLES[0]["tokens"]), "b_tokens": ballots.token_digest(SAMPLES[1]["tokens"]),
        **changes,
    }  # fmt: skip
    return written(tmp_path, ",".join(line.values()), header=",".join(line))


def test_votes_that_say_what_was_heard_are_proven_and_others_are_warned_about(tmp_path):
    cast = load(sheet(tmp_path))
    assert cast.unverified == 0 and "warning" not in cast.describe()
    cast = load(written(tmp_path, "u0,0,1,A,anna"))
    assert cast.unverified == 1 and "it cannot be checked" in cast.describe()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a_seed": "123"}, f"seed of A was 0x7b, now it is {hex(SAMPLES[0]['seed'])}"),
        ({"b_seed": "0x1"}, f"seed of B was 0x1, now it is {hex(SAMPLES[1]['seed'])}"),
        ({"policy": "feedfacecafe"}, "policy was feedfacecafe, now it is 0123456789ab"),
        ({"b_tokens": "md5:00000000"}, "token digest of B was md5:00000000"),
    ],
)
def test_votes_on_other_audio_are_refused(tmp_path, changes, message):
    with pytest.raises(DataError) as error:
        load(sheet(tmp_path, **changes))
    assert message in str(error.value)
    assert "sample again with the seed, policy" in str(error.value)


def test_a_folder_holds_a_sheet_of_each_rater_and_iteration(tmp_path):
    header = f"{HEADER},iteration"
    written(tmp_path, "u0,0,1,A,anna,1", "u0,0,1,A,anna,2", header=header, name="anna.csv")
    written(tmp_path, "u0,0,1,B,ben,1", "u1,0,1,,,1", header=header, name="ben.csv")
    (tmp_path / "notes.txt").write_text("not a sheet")
    cast = load(tmp_path)
    assert (len(cast.votes), cast.raters, cast.other_iterations, cast.blank) == (2, 2, 1, 1)
    assert rater_agreement(cast.votes) == 0.0
    with pytest.raises(DataError, match="none of them on iteration 3"):
        load(tmp_path, "3")


def test_a_folders_sheets_are_read_however_they_are_named_and_the_rest_is_named(tmp_path):
    tab = HEADER.replace(",", "\t")
    written(tmp_path, "u0,0,1,A,anna", name="anna.CSV")
    written(tmp_path, "u0\t0\t1\tB\tben", header=tab, name="ben.tsv")
    written(tmp_path, "u0\t0\t1\tB\tcleo", header=f"\ufeff{tab}", name="cleo.TXT")
    (tmp_path / "dora.JSONL").write_text('{"id": "u0", "A": 0, "B": 1, "choice": "A", "rater": "dora"}\n')
    everything = load(tmp_path)
    assert everything.raters == 4
    assert "not read" not in everything.describe()

    # An exported test that was filled in by hand, and other files that people leave there.
    for name in (".gitignore", ".DS_Store", "001-A.flac", "vote.html"):
        (tmp_path / name).write_bytes(b"\xff")
    (tmp_path / "notes.txt").write_text("anna was in a hurry")
    (tmp_path / "emil.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "old").mkdir()
    written(tmp_path / "old", "u1,0,1,A,anna")
    cast = load(tmp_path)
    assert cast.votes == everything.votes
    assert cast.describe().split("no sheets of votes: ")[1].splitlines()[0] == "emil.xlsx, notes.txt, old/"


def test_a_folder_without_votes_names_what_it_holds(tmp_path):
    (tmp_path / "emil.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"holds no \.csv, \.tsv, \.jsonl file \(not read: emil\.xlsx\)"):
        load(tmp_path)
    written(tmp_path, "u0,0,1,,")  # the sheet as it was exported
    with pytest.raises(DataError, match=r"holds no votes \(not read: emil\.xlsx\): none of its 1 lines"):
        load(tmp_path)


def voting(params, path):
    """The parameters with these votes as the source of pairs."""
    prefer = params.prefer.model_copy(update={"source": "votes", "votes": str(path)})
    return params.model_copy(update={"prefer": prefer})


def test_a_majority_on_equal_or_silent_sounds_makes_no_pair_and_is_counted(tmp_path, capsys):
    path = written(
        tmp_path,
        "u0,0,1,A,anna",  # equal
        "u1,0,1,A,anna",  # silent
        "u2,golden,0,B,anna",  # the golden tokens themselves
        "u3,0,1,A,anna",
        "u3,0,2,tie,anna",
        "u0,0,2,A,anna",
    )
    samples = [dict(sample) for sample in SAMPLES]
    samples[1]["tokens"], samples[4]["tokens"] = samples[0]["tokens"], []
    samples[6]["tokens"] = GOLDEN["u2"]
    params = voting(tiny.params(tmp_path), path)
    source = source_of(params, "1", samples, GOLDEN, "judge")
    printed = capsys.readouterr().out
    assert printed.startswith("prefer@1: votes@")
    assert "5 with a majority, 1 ties; 3 of the majorities make no pair: the two sounds are equal" in printed
    heard = [Judgement("one two", 0, 2, 0, 7, 0.5, 0, 0, 2, 0, 2) for _ in samples]
    assert [pair["id"] for pair in pair_up(source, samples, heard, GOLDEN, params, "1")] == ["u0", "u3"]
    assert "of the majorities" not in load(path).describe()


@pytest.mark.parametrize("typed", ["l", "01", "1.0", "4"])
def test_an_iteration_that_does_not_exist_is_no_other_iteration(tmp_path, typed):
    header = f"{HEADER},iteration"
    path = written(
        tmp_path, "u0,0,1,A,anna,1", "u1,0,1,A,anna,2", f"u2,0,1,A,anna,{typed}", "u3,0,1,A,ben,", header=header
    )
    params = voting(tiny.params(tmp_path, iterations=3), path)
    with pytest.raises(DataError) as error:
        source_of(params, "1", SAMPLES, GOLDEN, "judge")
    assert "1 unusable line(s)" in str(error.value)
    assert f'votes.csv line 4: iteration is "{typed}", but params.yaml has 1, 2, 3' in str(error.value)
    # Also where no other line is left.
    with pytest.raises(DataError, match="line 2: iteration is"):
        ballots.load(written(tmp_path, f"u0,0,1,A,anna,{typed}", header=header), "1", SAMPLES, GOLDEN, ["1"])


def test_a_second_iterations_votes_and_the_order_of_lines_leave_the_digest_alone(tmp_path):
    header = f"{HEADER},iteration"
    lines = ["u0,0,1,A,anna,1", "u1,0,1,B,anna,1"]
    before = load(written(tmp_path, *lines, header=header)).digest
    assert load(written(tmp_path, "u0,0,1,B,anna,2", *lines[::-1], header=header)).digest == before
    assert load(written(tmp_path, "u0,0,1,B,anna,1", lines[1], header=header)).digest != before


def test_agreement_is_told_in_words(tmp_path):
    alone = load(written(tmp_path, "u0,0,1,A,anna", "u1,0,1,A,ben"))
    assert "no two raters heard the same pair" in alone.rater_agreement()
    both = [f"u{i},0,1,{choice},{rater}" for i in range(3) for choice, rater in (("AAB"[i], "anna"), ("AAB"[i], "ben"))]
    assert "100 % of the votes" in load(written(tmp_path, *both)).rater_agreement()
    assert math.isclose(rater_agreement(load(written(tmp_path, *both)).votes), 1.0)


def test_golden_speech_of_a_text_without_a_recording_is_refused(tmp_path):
    samples = [sample | {"id": "text-1"} if sample["id"] == "u1" else sample for sample in SAMPLES]
    votes = ballots.load(written(tmp_path, "text-1,0,1,A,anna"), "1", samples, GOLDEN)
    assert list(votes.by_id) == ["text-1"]
    with pytest.raises(DataError, match=r"line 3: text-1 has no golden speech.*\(texts\.sample corpus has\)"):
        ballots.load(written(tmp_path, "u0,0,1,A,anna", "text-1,golden,1,A,anna"), "1", samples, GOLDEN)
