import json
import random

import pytest
from starlette.testclient import TestClient

from tasks.common.files import DataError
from tasks.prefer.votes import returned, store
from tasks.prefer.votes.export import page
from tasks.prefer.votes.guard import LOOPBACK, token_of
from tasks.prefer.votes.result import result
from tasks.prefer.votes.server import LARGEST_BODY, Test, app
from tests.tasks.prefer.votes import listening

SECRET, OTHER = "0" * 32, "1" * 32
HERE = "http://127.0.0.1:8040"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return listening.written(tmp_path_factory.mktemp("test"), texts=8)


@pytest.fixture
def served(made, tmp_path):
    """Serve the test with votes of its own; ``open_`` starts it (again)."""
    out, key = made
    for file in out.iterdir():
        if file.suffix in (".flac", ".json"):
            (tmp_path / file.name).hardlink_to(file)
    tests = []

    def open_(token="", hosts=LOOPBACK, per_rater=None, stop=True):
        while tests:
            tests.pop().store.close()
        tests.append(Test(tmp_path, key, per_rater, stop, lambda line: None))
        return TestClient(app(tests[-1], token, hosts), base_url=HERE, raise_server_exceptions=False)

    yield tmp_path, key, open_
    while tests:
        tests.pop().store.close()


def begin(client, rater="Anna", key=SECRET, **options):
    return client.post("/api/begin", json={"rater": rater, "key": key}, **options)


def ballot(trial="003", **changes):
    vote = {
        "rater": "Anna",
        "key": SECRET,
        "trial": trial,
        "choice": "A",
        "flipped": False,
        "seconds": 2.5,
        "revision": 1,
    }
    return vote | changes


def vote(client, trial="003", **changes):
    return client.post("/api/vote", json=ballot(trial, **changes))


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


def test_each_rater_gets_the_pairs_that_the_fewest_have(served):
    _, key, open_ = served
    client = open_(per_rater=4)
    given = [{t["trial"] for t in begin(client, f"rater {n}").json()["trials"]} for n in range(4)]
    pairs = {trial.trial for trial in key.trials if trial.role == "pair"}
    others = {trial.trial for trial in key.trials} - pairs
    assert all(others <= trials and len(trials & pairs) == 4 for trials in given)
    assert given[0] & given[1] & pairs == set() and given[2] & given[3] & pairs == set()
    outside = next(iter(pairs - given[0]))
    assert vote(client, outside, rater="rater 0").status_code == 422
    client = open_(per_rater=4)
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


def test_what_raters_get_says_nothing_of_systems_and_checks(served):
    folder, key, open_ = served
    client = open_()
    told = begin(client).text + client.get("/").text + page(key, folder)
    secrets = ["before", "after", "warm-up", "degraded", "identical", "system", "right"]
    for secret in [*secrets, *(trial.id for trial in key.trials), *(trial.a.label for trial in key.trials)]:
        assert f'"{secret}"' not in told, secret
    shown = begin(client).json()["trials"]
    assert all(set(trial) == {"trial", "practice", "text", "sounds"} for trial in shown)
    assert not any(trial["practice"] for trial in shown if trial["trial"] not in ("001", "002"))


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


@pytest.mark.parametrize(
    "name", ["key.json", "votes.jsonl", "token", "..%2Fkey.json", "%2e%2e/key.json", "001-A.flac%00", "999-A.flac",
             "../before/t1.wav", "/etc/passwd", ".", "001-a.flac"],
)  # fmt: skip
def test_only_sounds_of_the_test_are_served(served, name):
    _, key, open_ = served
    client = open_()
    assert client.get(f"/api/sound/{name}").status_code == 404
    assert client.get(f"/api/sound/{key.trials[0].a.sound}").content[:4] == b"fLaC"


@pytest.mark.parametrize("path", ["/key.json", "/votes.jsonl", "/api", "/docs", "/api/result", "/api/sound/"])
def test_nothing_else_is_served(served, path):
    _, _, open_ = served
    assert open_().get(path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example:8040"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": HERE, "sec-fetch-site": "same-origin"}, 200),
        ({"host": "localhost:8040"}, 200),
        ({"host": "[::1]:8040"}, 200),
    ],
    ids=str,
)
def test_another_site_cannot_act_for_a_rater(served, headers, status):
    folder, _, open_ = served
    client = open_()
    begin(client)
    answer = client.post(
        "/api/vote", content=json.dumps(ballot()), headers={"content-type": "application/json"} | headers
    )
    assert answer.status_code == status
    assert len(listening.votes_on_disk(folder)) == (status == 200)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-frame-options"] == "DENY" and answer.headers["x-content-type-options"] == "nosniff"


def test_other_sites_get_no_sounds(served):
    _, _, open_ = served
    answer = open_().get("/api/sound/001-A.flac", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403 and answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_on_the_network_only_who_has_the_link_gets_in(served):
    folder, _, open_ = served
    token = token_of(folder)
    assert len(token) > 20 and token_of(folder) == token and oct((folder / "token").stat().st_mode)[-3:] == "600"
    client = open_(token=token, hosts=())
    for headers in ({}, {"x-votes-token": "guess"}, {"x-votes-token": ""}, {"x-votes-token": token[:-1]}):
        assert begin(client, headers=headers).status_code == 401
        assert client.get("/api/sound/001-A.flac", headers=headers).status_code == 401
    assert token not in client.get("/").text
    whole = {"x-votes-token": token, "host": "lab.example:8040"}
    assert begin(client, headers=whole).status_code == 200
    assert client.get("/api/sound/001-A.flac", headers=whole).status_code == 200


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
