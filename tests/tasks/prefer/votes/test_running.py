"""The real server as a process: many raters at once, a kill in the middle, its messages."""

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from tasks.prefer.votes import returned, store
from tests.conftest import REPOSITORY
from tests.tasks.prefer.votes import listening

RATERS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(folder, port, *options, command=("tasks.prefer.votes",)):
    line = [sys.executable, "-m", *command, "serve", str(folder), "--port", str(port), *options]
    return subprocess.Popen(line, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def post(port, path, body):
    """Return the answer, sending again until there is one, as the page does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    end = time.monotonic() + 600
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise AssertionError(error.read()) from error
        except (OSError, http.client.HTTPException):
            pass  # not there at the moment, or killed while it answered
        assert time.monotonic() < end, "no answer for ten minutes"
        time.sleep(0.05)


@pytest.mark.parametrize("where", ["half", "written", "synced"])
def test_twenty_raters_at_once_and_a_kill_while_a_vote_is_written_lose_none_and_double_none(tmp_path, where):
    folder, key = listening.written(tmp_path, texts=2, checks=1, warm_up=1)
    port = free_port()
    acknowledged, problems = {}, []

    def rate(number):
        rng = random.Random(number)
        rater = {"rater": f"Rater {number}", "key": f"{number:032x}"}
        try:
            trials = post(port, "/api/begin", rater)["trials"]
            for trial in rng.sample(trials, len(trials)):
                choice = listening.answer(key.by_trial[trial["trial"]], rng)
                vote = {"trial": trial["trial"], "choice": choice, "flipped": False, "seconds": 1.0, "revision": 1}
                for _ in range(rng.choice([1, 1, 2])):  # sometimes the answer got lost, and the page sends it again
                    assert post(port, "/api/vote", rater | vote)["saved"]
                    acknowledged[f"rater {number}", trial["trial"]] = choice
        except Exception as error:
            problems.append(error)

    killed = ("tests.tasks.prefer.votes.killed", where, str(RATERS + RATERS * len(key.trials) // 3))
    server = serve(folder, port, "--no-stop", command=killed)
    threads = [threading.Thread(target=rate, args=(number,)) for number in range(RATERS)]
    try:
        for thread in threads:
            thread.start()
        server.communicate(timeout=600)  # until it is killed: raters go on asking
        assert server.returncode == -signal.SIGKILL
        at_kill, left = dict(acknowledged), (folder / store.NAME).read_bytes()
        server = serve(folder, port, "--no-stop")
        for thread in threads:
            thread.join(600)
    finally:
        server.send_signal(signal.SIGINT)
        said = server.communicate(timeout=60)[0]
    assert not problems, problems
    written = [(line["folded"], line["trial"]) for line in listening.votes_on_disk(folder)]
    assert len(written) == len(set(written)) == RATERS * len(key.trials)
    cast = {(vote.rater, vote.trial.trial): vote.choice for vote in returned.read(folder, key)}
    assert cast == acknowledged and 0 < len(at_kill) < len(cast)
    on_disk = [json.loads(line) for line in left.split(b"\n")[:-1]]
    assert at_kill.keys() <= {(line["folded"], line["trial"]) for line in on_disk if line["kind"] == "vote"}
    assert left.endswith(b"\n") == (where != "half")
    assert ("a vote that was cut off was never acknowledged" in said) == (where == "half")
    assert "stopped; `speechalign votes result" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("command", "polite"),
    [
        (["tasks.prefer.votes"], signal.SIGINT),
        (["flows", "votes"], signal.SIGINT),
        (["flows", "votes"], signal.SIGTERM),
    ],
    ids=["module, Ctrl-C", "speechalign, Ctrl-C", "speechalign, SIGTERM"],
)
def test_a_polite_stop_ends_the_server_at_once_and_says_how_to_go_on(tmp_path, command, polite):
    folder, _ = listening.written(tmp_path, texts=2)
    port = free_port()
    server = serve(folder, port, command=command)
    post(port, "/api/begin", {"rater": "Anna", "key": "0" * 32})
    server.send_signal(polite)
    said = server.communicate(timeout=30)[0].splitlines()
    assert f"{folder}: http://127.0.0.1:{port}/ (Ctrl-C stops it)" in said
    assert said[-1] == f"stopped; `speechalign votes result {folder}` says what the votes show"


def test_on_the_network_the_link_has_a_token_that_stays(tmp_path):
    folder, _ = listening.written(tmp_path, texts=2)
    links = []
    for _ in range(2):
        server = serve(folder, free_port(), "--host", "0.0.0.0")
        lines = [server.stdout.readline(), server.stdout.readline()]
        server.terminate()
        server.communicate(timeout=30)
        [line] = [line for line in lines if "http://" in line]
        links.append(line.split("#")[1].split()[0])
    assert links[0] == links[1] == (folder / "token").read_text()


def test_an_address_in_use_is_one_message(tmp_path):
    folder, _ = listening.written(tmp_path, texts=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = serve(folder, taken.getsockname()[1])
        said = server.communicate(timeout=60)[0]
    assert server.returncode == 3
    assert "cannot serve on 127.0.0.1 port" in said and "choose others with --host and --port" in said
    assert "Traceback" not in said


def test_an_empty_token_on_the_network_lets_nobody_in(tmp_path):
    folder, key = listening.written(tmp_path, texts=2)
    (folder / "token").touch()
    port = free_port()
    server = serve(folder, port, "--host", "0.0.0.0")
    try:
        assert "#" in server.stdout.readline() + server.stdout.readline()
        for address in (f"api/sound/{key.trials[0].a.sound}", "api/begin"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{address}", timeout=30)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert len((folder / "token").read_text()) > 20
