"""The server of a listening test, in this process."""

import random

import pytest

from tasks.common.files import DataError
from tasks.prefer.votes import returned, store
from tasks.prefer.votes.result import result
from tasks.prefer.votes.server import LARGEST_BODY, Test
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import OTHER, SECRET, begin, vote


def test_a_vote_is_on_disk_when_it_is_acknowledged(served):
    folder, key, open_ = served
    client = open_()
    answer = begin(client).json()
    assert [trial["trial"] for trial in answer["trials"]] == [trial.trial for trial in key.trials]
    assert vote(client).json() == {"saved": True, "enough": False}
    [line] = listening.votes_on_disk(folder)
    assert (line["rater"], line["trial"], line["choice"], line["test"]) == ("Anna", "003", "A", key.test)
    assert oct((folder / store.NAME).stat().st_mode)[-3:] == "600"


def test_a_vote_sent_again_is_taken_once_also_after_a_restart(served):
    folder, _, open_ = served
    client = open_()
    begin(client)
    for _ in range(3):
        assert vote(client).status_code == 200
    client = open_()
    assert begin(client).json()["votes"]["003"]["choice"] == "A"
    assert vote(client).status_code == 200
    assert len(listening.votes_on_disk(folder)) == 1


def test_a_changed_vote_counts_once_and_as_changed(served):
    folder, key, open_ = served
    client = open_()
    begin(client)
    vote(client)
    assert vote(client, choice="B").status_code == 409  # the same revision from another window
    assert vote(client, choice="tie", revision=2).status_code == 200
    assert [cast.choice for cast in returned.read(folder, key)] == ["tie"]


def test_a_name_belongs_to_the_browser_that_began_with_it(served):
    _, _, open_ = served
    client = open_()
    begin(client)
    assert begin(client).status_code == 200  # retried
    for answer in (begin(client, "  anna ", OTHER), vote(client, key=OTHER)):
        assert answer.status_code == 403 and "another browser" in answer.json()["error"]
    assert vote(client, rater="nobody").status_code == 403


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("Jose\u0301", "jos\u00e9"),
        ("Anna", "An\u200bna"),
        ("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0639\u0644\u06cc\u0631\u0636\u0627"),
    ],
    ids=["composed", "zero width", "joiner"],
)
def test_one_name_written_in_two_ways_is_one_rater(served, first, again):
    folder, key, open_ = served
    client = open_()
    begin(client, first)
    vote(client, rater=first)
    assert begin(client, again, OTHER).status_code == 403
    assert begin(client, again).json()["votes"]["003"]["choice"] == "A"
    assert vote(client, rater=again, choice="B", revision=2).status_code == 200
    assert [cast.choice for cast in returned.read(folder, key)] == ["B"]


def test_a_name_that_is_refused_is_told_in_plain_words(served):
    _, _, open_ = served
    answer = begin(open_(), "=1+1")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the name of a rater must not begin with = or + or - or @")


def test_each_rater_gets_the_pairs_that_the_fewest_have(served):
    _, key, open_ = served
    client = open_(per_rater=5)
    given = [{t["trial"] for t in begin(client, f"rater {n}").json()["trials"]} for n in range(4)]
    pairs = {trial.trial for trial in key.trials if trial.role == "pair"}
    others = {trial.trial for trial in key.trials} - pairs
    assert all(others <= trials and len(trials & pairs) == 5 for trials in given)
    assert given[0] & given[1] & pairs == set() and given[2] & given[3] & pairs == set()
    outside = next(iter(pairs - given[0]))
    assert vote(client, outside, rater="rater 0").status_code == 422
    client = open_(per_rater=5)
    assert {t["trial"] for t in begin(client, "rater 0").json()["trials"]} == given[0]


def test_raters_are_told_when_enough_votes_are_in(served):
    folder, key, open_ = served
    client = open_()
    rng = random.Random(0)
    enough = []
    for n in range(8):
        begin(client, f"r{n}")
        for trial in key.trials:
            choice = listening.answer(trial, rng, for_after=1.0)
            enough.append(vote(client, trial.trial, rater=f"r{n}", choice=choice).json()["enough"])
    assert not enough[0] and enough[-1]
    shown = result(returned.read(folder, key), key).verdict
    assert shown.preferred == "B" and key.systems == ["before", "after"]
    assert begin(open_(), "late").json()["enough"]
    assert not begin(open_(stop=False), "later").json()["enough"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"trial": "999"}, 422),
        ({"trial": "../key"}, 422),
        ({"trial": 3}, 422),
        ({"choice": "C"}, 422),
        ({"choice": ["A"]}, 422),
        ({"choice": None}, 422),
        ({"rater": ""}, 422),
        ({"rater": " "}, 422),
        ({"rater": "a\nb"}, 422),
        ({"rater": "=HYPERLINK(1)"}, 422),
        ({"rater": "a\u2028b\u0000"}, 422),
        ({"rater": "x" * 81}, 422),
        ({"rater": {"$gt": ""}}, 422),
        ({"key": "short"}, 422),
        ({"key": SECRET.upper().replace("0", "G")}, 422),
        ({"revision": 0}, 422),
        ({"revision": 1001}, 422),
        ({"revision": 1.5}, 422),
        ({"flipped": "yes"}, 422),
        ({"seconds": -1}, 422),
        ({"seconds": "soon"}, 422),
        ({"seconds": 1e300}, 422),
        ({"quality": [3, 4]}, 422),  # this test does not ask
        ({"quality": [3]}, 422),
        ({"quality": [0, 6]}, 422),
        ({"similarity": "55"}, 422),
        ({"__proto__": {}}, 422),
        ({"test": "other"}, 422),
        ({"rater": "x" * LARGEST_BODY}, 413),
    ],
    ids=str,
)
def test_a_bad_vote_is_refused_and_nothing_is_written(served, changes, status):
    folder, _, open_ = served
    client = open_()
    begin(client)
    answer = vote(client, **changes)
    assert answer.status_code == status and answer.json()["error"]
    assert listening.votes_on_disk(folder) == []
    assert vote(client).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"rater": "Anna"}', b"[" * 3000, b'"' + b"a" * 5000]
)
def test_a_body_that_is_no_vote_is_refused(served, content):
    _, _, open_ = served
    answer = open_().post("/api/vote", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (413, 422) and answer.json()["error"]


def test_a_full_disk_is_said_and_the_vote_can_be_sent_again(served, monkeypatch):
    folder, _, open_ = served
    client = open_()
    begin(client)
    size = (folder / store.NAME).stat().st_size
    with monkeypatch.context() as broken:
        broken.setattr(store.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        answer = vote(client)
    assert answer.status_code == 503 and "disk" in answer.json()["error"]
    assert (folder / store.NAME).stat().st_size == size
    assert vote(client).status_code == 200
    assert len(listening.votes_on_disk(folder)) == 1


def moved(file):
    file.rename(file.with_name("elsewhere.jsonl"))


def replaced(file):
    content = file.read_bytes()
    moved(file)
    file.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [moved, replaced, lambda file: file.write_bytes(b""), lambda file: file.open("ab").write(b"edited\n")],
    ids=["moved", "replaced by a copy", "emptied", "edited"],
)
def test_a_file_of_votes_that_is_not_there_any_more_acknowledges_nothing(served, change):
    folder, _, open_ = served
    client = open_()
    begin(client)
    vote(client)
    change(folder / store.NAME)
    before = {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    for answer in (vote(client, "004"), vote(client), begin(client), begin(client, "Ben", OTHER)):
        assert answer.status_code == 503 and "moved" in answer.json()["error"]
    assert {path: path.read_bytes() for path in folder.glob("*.jsonl")} == before


def test_votes_go_on_once_the_file_is_back(served):
    folder, _, open_ = served
    client = open_()
    begin(client)
    moved(folder / store.NAME)
    assert vote(client).status_code == 503
    (folder / "elsewhere.jsonl").rename(folder / store.NAME)
    assert vote(client).status_code == 200
    assert len(listening.votes_on_disk(folder)) == 1


def test_a_file_moved_while_a_vote_is_written_does_not_acknowledge_it(served, monkeypatch):
    folder, _, open_ = served
    client = open_()
    begin(client)
    size = (folder / store.NAME).stat().st_size
    with monkeypatch.context() as now:
        now.setattr(store.os, "fsync", lambda _: moved(folder / store.NAME))
        assert vote(client).status_code == 503
    assert (folder / "elsewhere.jsonl").stat().st_size == size and not (folder / store.NAME).exists()


def test_two_servers_do_not_share_a_file(served):
    folder, key, open_ = served
    open_()
    with pytest.raises(DataError, match="in use by another server"):
        Test(folder, key, None, True, print)


def test_a_vote_cut_off_by_a_kill_was_never_acknowledged_and_goes(served):
    folder, key, open_ = served
    client = open_()
    begin(client)
    vote(client)
    with (folder / store.NAME).open("ab") as file:
        file.write(b'{"test": "' + key.test.encode() + b'", "kind": "vote", "fol')
    client = open_()
    assert vote(client, "004").status_code == 200
    assert [line["trial"] for line in listening.votes_on_disk(folder)] == ["003", "004"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"no json", "line 2 is damaged"),
        (b"[]", "line 2 is damaged"),
        (b'{"kind": "vote"}', "line 2 is damaged"),
        (b'{"test": "ffffffffffff", "kind": "rater"}', "line 2 is of the listening test ffffffffffff"),
        (b"\xff", "line 2 is damaged"),
    ],
)
def test_a_damaged_file_of_votes_is_refused(served, line, message):
    folder, _, open_ = served
    begin(open_())
    with (folder / store.NAME).open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(DataError, match=message):
        open_()
