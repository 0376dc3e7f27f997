"""Who gets what from the server of a listening test."""

import json

import pytest

from tasks.prefer.votes.export import page
from tasks.prefer.votes.guard import token_of
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import HERE, ballot, begin


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


@pytest.mark.parametrize("left", [b"", b"\n", b"short", b"\xff" * 22, b"two words in a token file"])
def test_a_token_that_a_kill_or_a_full_disk_cut_off_is_replaced(tmp_path, left):
    (tmp_path / "token").write_bytes(left)
    token = token_of(tmp_path)
    assert len(token) > 20 and token.encode() != left and token_of(tmp_path) == token
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    assert oct((tmp_path / "token").stat().st_mode)[-3:] == "600"


def test_without_a_token_only_this_machine_gets_in(served):
    _, _, open_ = served
    with pytest.raises(ValueError, match="without a token"):
        open_(token="", hosts=())


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
