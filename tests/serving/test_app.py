"""What clients get: whole and streamed answers, voices, models, health and metrics."""

from __future__ import annotations

import base64
import http.client
import json

import pytest

from serving.formats import encode
from serving.voices import Voice
from tests.serving.quick_worker import samples_of, told
from tests.serving.running import post, send

TEXT = "One two. Three four! Five"


def test_a_voice_of_ones_own_is_as_good_as_a_registered_one(start):
    server = start()
    alice = server.voices["alice"]
    voice = {"audio": base64.b64encode(alice.audio).decode(), "text": alice.text, "speaker": "alice"}

    own, named = (post(server.address, {"input": "one", "voice": one}) for one in (voice, "alice"))

    assert own.status == 200 and own.body == named.body
    other = post(server.address, {"input": "one", "voice": {**voice, "text": "two"}})
    assert other.status == 200 and other.body != own.body


def test_a_policy_that_knows_speakers_takes_the_voice_as_a_speakers_name(start):
    server = start()
    server.call(server.pool.move_to("50"))
    tara, leo = (
        post(server.address, {"input": "one", "voice": name, "response_format": "pcm"}) for name in ("tara", "leo")
    )
    expected = samples_of("one", 0, None, told(Voice(speaker="tara")), "50")
    assert tara.body == encode(expected, 8000, "pcm") and leo.body != tara.body
    for voice in ({"audio": base64.b64encode(server.voices["bob"].audio).decode()}, " ", None):
        refused = post(server.address, {"input": "one", "voice": voice})
        assert refused.status == 400 and "takes the name of a speaker" in refused.message


def test_a_policy_with_a_voice_of_its_own_takes_none(start):
    server = start()
    server.call(server.pool.move_to("60"))
    without, default = (post(server.address, {"input": "one", **voice}) for voice in ({}, {"voice": "default"}))
    assert without.status == 200 and without.body == default.body
    refused = post(server.address, {"input": "one", "voice": "alice"})
    assert refused.status == 400 and "leave voice out, or set 'default'" in refused.message


def test_the_answer_says_what_it_is(start):
    server = start()
    reply = post(server.address, {"input": "one", "voice": "alice", "seed": 7, "model": "speechalign-policy"})

    assert reply.headers["Content-Type"] == "audio/wav"
    assert (reply.headers["X-Seed"], reply.headers["X-Model-Version"], reply.headers["X-Finished"]) == (
        "7",
        "1",
        "true",
    )
    pcm = post(server.address, {"input": "one", "voice": "alice", "seed": 7, "response_format": "pcm"})
    assert pcm.headers["Content-Type"] == "audio/pcm;rate=8000;channels=1;bits=16"
    assert reply.body.endswith(pcm.body)


@pytest.mark.parametrize("kind", ["wav", "flac", "pcm"])
def test_a_streamed_answer_has_the_samples_of_the_whole_one(start, kind: str):
    server = start()
    body = {"input": TEXT, "voice": "alice", "response_format": kind}

    whole, streamed = (post(server.address, {**body, "stream": stream}) for stream in (False, True))

    header = {"wav": 44, "flac": 42, "pcm": 0}[kind]
    assert len(whole.body) > 3000 and streamed.body[header:] == whole.body[header:]
    assert streamed.headers["Content-Length"] is None and whole.headers["Content-Length"]


def test_the_first_sentence_is_sent_before_the_second_is_made(start):
    server = start()
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = json.dumps({"input": "One. slow 1.", "voice": "alice", "response_format": "pcm", "stream": True})
    client.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
    answer = client.getresponse()

    first = answer.read(1600)

    assert len(first) == 1600 and not server.pool._idle  # the worker is still at it
    assert len(answer.read()) == 1600


def test_a_stream_that_breaks_off_does_not_end_like_a_whole_one(start):
    server = start()
    with pytest.raises(http.client.IncompleteRead):
        post(server.address, {"input": "One. crash", "voice": "alice", "stream": True})
    server.wait(lambda: server.metrics.registry.get_sample_value("speechalign_broken_answers_total") == 1)


def test_a_client_that_leaves_makes_room(start):
    server = start()
    slow = json.dumps({"input": "slow 1", "voice": "alice"})
    clients = []
    for _ in range(2):
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        client.request("POST", "/v1/audio/speech", slow, {"Content-Type": "application/json"})
        clients.append(client)
    server.wait(lambda: server.pool.waiting == 1)
    for client in clients:
        client.close()
    server.wait(lambda: server.pool.waiting == 0)
    server.wait(lambda: len(server.pool._idle) == 1)  # the one that had begun ends by itself

    assert post(server.address, {"input": "one", "voice": "alice"}).status == 200
    assert server.metrics.registry.get_sample_value("speechalign_worker_restarts_total") == 0


def test_health_models_and_voices(start):
    server = start()

    assert json.loads(send(f"{server.address}/health").body) == {"status": "ok", "version": "1", "waiting": 0}
    [model] = json.loads(send(f"{server.address}/v1/models").body)["data"]
    assert (model["id"], model["version"]) == ("speechalign-policy", "1")
    assert json.loads(send(f"{server.address}/v1/audio/voices").body) == {"voices": ["alice", "bob"]}


def test_a_server_without_a_worker_is_not_healthy(start):
    server = start()
    [worker] = server.pool._all
    worker.process.kill()
    server.wait(lambda: not worker.alive)

    assert send(f"{server.address}/health").status == 503
    assert post(server.address, {"input": "one", "voice": "alice"}).status == 200  # found dead, replaced, waited for
    assert send(f"{server.address}/health").status == 200


def test_metrics_count_what_was_answered(start):
    server = start()
    for text in ("one", "two", ""):
        post(server.address, {"input": text, "voice": "alice"})
    lines = send(f"{server.address}/metrics").body.decode().splitlines()

    assert 'speechalign_requests_total{status="200"} 2.0' in lines
    assert 'speechalign_requests_total{status="400"} 1.0' in lines
    assert "speechalign_audio_seconds_total 0.2" in lines
    memory = next(line for line in lines if line.startswith("speechalign_worker_memory_bytes "))
    assert float(memory.split()[1]) > 1e6
