"""Back-pressure, time limits, versions that change, and workers that end, over real connections."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serving.process import WorkerError
from tests.serving.quick_worker import RATE, samples_of, told
from tests.serving.running import Reply, post

ONE, SLOW = {"input": "one", "voice": "alice"}, {"input": "slow 1", "voice": "alice"}


def samples(reply: Reply) -> np.ndarray:
    assert reply.status == 200, reply.body
    return soundfile.read(io.BytesIO(reply.body), dtype="int16")[0]


def expected(text: str, seed: int, temperature: float | None, prompt: bytes, version: str) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples_of(text, seed, temperature, prompt, version), RATE, format="WAV")
    return soundfile.read(io.BytesIO(file.getvalue()), dtype="int16")[0]


def test_fifty_clients_each_get_their_own_answer(start):
    server = start(workers=3, waiting=200)
    wanted = [(f"text {n}", n, None if n % 2 else 0.5, ("alice", "bob")[n % 2]) for n in range(200)]

    def ask(text, seed, temperature, voice):
        body = {"input": text, "seed": seed, "temperature": temperature, "voice": voice}
        return post(server.address, body)

    with ThreadPoolExecutor(50) as clients:
        replies = list(clients.map(lambda one: ask(*one), wanted))

    for (text, seed, temperature, voice), reply in zip(wanted, replies, strict=True):
        np.testing.assert_array_equal(
            samples(reply), expected(text, seed, temperature, told(server.voices[voice]), "1")
        )


def test_a_full_queue_refuses_and_says_when_to_come_back(start):
    server = start(waiting=2)
    with ThreadPoolExecutor(3) as clients:
        held = [clients.submit(post, server.address, SLOW) for _ in range(3)]
        server.wait(lambda: server.pool.waiting == 2)
        refused = post(server.address, SLOW)

        assert not any(one.done() for one in held)  # it did not wait for them
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert [one.result().status for one in held] == [200, 200, 200]


def test_a_wait_that_is_too_long_ends(start):
    server = start(queue_seconds=0.2)
    with ThreadPoolExecutor(1) as clients:
        held = clients.submit(post, server.address, SLOW)
        server.wait(lambda: not server.pool._idle)
        reply = post(server.address, ONE)

        assert reply.status == 503 and "no worker was free" in reply.message and reply.headers["Retry-After"]
        assert held.result().status == 200
    assert post(server.address, ONE).status == 200


@pytest.mark.parametrize(("text", "status"), [("slow 30", 504), ("crash", 500)])
def test_a_worker_that_hangs_or_crashes_costs_one_request(start, text: str, status: int):
    server = start(synthesis_seconds=0.5)

    assert post(server.address, {"input": text, "voice": "alice"}).status == status
    assert post(server.address, ONE).status == 200
    assert server.metrics.registry.get_sample_value("speechalign_worker_restarts_total") == 1


def test_a_long_text_ends_after_the_sentence_at_which_its_time_was_up(start):
    server = start(synthesis_seconds=0.5)

    reply = post(server.address, {"input": "slow 0.6\nslow 0.6\n" + "slow 9\n" * 9, "voice": "alice"})

    assert reply.status == 504 and "shorten it" in reply.message
    assert server.metrics.registry.get_sample_value("speechalign_worker_restarts_total") == 0


def test_what_an_ended_worker_left_on_the_disk_is_deleted(start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = start()
    assert len(list(tmp_path.iterdir())) == 1
    server.call(server.pool.move_to("2"))
    server.wait(lambda: len(list(tmp_path.iterdir())) == 1)
    post(server.address, {"input": "crash", "voice": "alice"})
    assert post(server.address, ONE).status == 200
    assert len(list(tmp_path.iterdir())) == 1
    server.stop()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "status"), [("refuse", 400), ("fail", 500), ("nothing", 422)])
def test_a_version_that_gives_no_audio_says_so(start, text: str, status: int):
    server = start()

    assert post(server.address, {"input": text, "voice": "alice"}).status == status
    assert server.pool.alive == 1  # the worker goes on


def test_a_new_version_takes_over_without_dropping_a_request(start):
    server = start(workers=2)
    stop: list[bool] = []
    replies: list[Reply] = []

    def keep_asking():
        while not stop:
            replies.append(post(server.address, ONE))

    with ThreadPoolExecutor(4) as clients:
        slow = clients.submit(post, server.address, {"input": "slow 3", "voice": "alice"})
        server.wait(lambda: not server.pool._idle or len(server.pool._idle) == 1)
        asking = [clients.submit(keep_asking) for _ in range(3)]
        server.wait(lambda: len(replies) > 5)
        server.call(server.pool.move_to("2"))
        until = len(replies) + 10
        server.wait(lambda: len(replies) > until)
        stop.append(True)
        for one in asking:
            one.result()

        assert slow.result().headers["X-Model-Version"] == "1"  # it keeps what it began with
    versions = [reply.headers["X-Model-Version"] for reply in replies]
    assert versions[0] == "1" and versions[-1] == "2"
    for reply, version in zip(replies, versions, strict=True):
        np.testing.assert_array_equal(samples(reply), expected("one", 0, None, told(server.voices["alice"]), version))
    server.wait(lambda: len(server.pool.pids()) == 2)  # those of version 1 have ended


def test_a_version_that_does_not_load_changes_nothing(start):
    server = start()

    with pytest.raises(WorkerError, match=r"version 99 .* does not load: its files are gone"):
        server.call(server.pool.move_to("99"))
    assert post(server.address, ONE).headers["X-Model-Version"] == "1"


def test_a_server_that_stops_answers_what_has_begun(start):
    server = start()
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(post, server.address, SLOW) for _ in range(2)]
        server.wait(lambda: server.pool.waiting == 1)
        server.stop()

        assert [one.result().status for one in held] == [200, 200]
    assert not server.pool.pids()
