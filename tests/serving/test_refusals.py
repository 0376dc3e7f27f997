"""Input that is wrong, too large or too slow gets a status and a reason, and the server goes on."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile

from serving.limits import Limits
from tests.serving.running import Running, post, send, wav

ONE = {"input": "one", "voice": "alice"}
NESTED = b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    running = Running(Limits(characters=100, prompt_bytes=100_000, receive_seconds=0.5, send_seconds=0.5), 1, None)
    yield running
    assert post(running.address, ONE).status == 200  # after all that the tests did to it
    running.stop()


def recording(samples: np.ndarray, rate: int = 16000, **options: str) -> dict[str, str]:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return {"audio": base64.b64encode(file.getvalue()).decode()}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b'{"input": "\xff"}', 400, "not valid JSON: it is not UTF-8"),
        (json.dumps(ONE).encode("utf-16"), 400, "not valid JSON: it is not UTF-8"),
        (json.dumps(ONE).encode("utf-8-sig"), 400, "not valid JSON (Unexpected UTF-8 BOM"),
        (b'{"input": "one", "voice": "alice", "input": "two"}', 400, "input: given twice"),
        (b'{"input": "one", "voice": {"audio": "QQ==", "audio": ""}}', 400, "audio: given twice"),
        ({f"field {i}": 1 for i in range(5000)}, 400, "an object of the body has 5000 fields"),
        (b"[1]", 400, "expected one object"),
        (b"null", 400, "expected one object"),
        (NESTED, 413, "larger than"),
        (NESTED[:50_000], 400, "not valid JSON"),
        ({"voice": "alice"}, 400, "input: Field required"),
        ({"input": "one"}, 400, "voice: missing; expected a registered voice's name, or a recording"),
        ({**ONE, "input": ["one"]}, 400, "input: Input should be a valid string"),
        ({**ONE, "input": 1}, 400, "input: "),
        ({**ONE, "input": "  "}, 400, "input: empty"),
        ({**ONE, "input": "a" * 101}, 413, "101 characters, at most 100"),
        ({**ONE, "input": "\ud800"}, 400, "not valid JSON"),
        ({**ONE, "voice": 7}, 400, "voice: expected a registered voice's name, or a recording as "),
        ({**ONE, "voice": ["alice"]}, 400, "voice: expected a registered voice's name"),
        ({**ONE, "voice": {"path": "/etc/passwd"}}, 400, "voice.audio: Field required"),
        ({**ONE, "voice": {"audio": "QQ==", "path": "x"}}, 400, "voice.path: this server knows no such field"),
        ({**ONE, "voice": {"audio": ["QQ=="]}}, 400, "voice.audio: Input should be a valid string"),
        ({**ONE, "voice": "a" * 5000}, 404, "registered are: alice, bob"),
        ({**ONE, "voice": {}, "seed": -5}, 400, "seed: "),
        ({**ONE, "voice": "../alice"}, 404, "registered are: alice, bob"),
        ({**ONE, "model": "tts-1"}, 404, "no model 'tts-1'"),
        ({**ONE, "response_format": "mp3"}, 400, "response_format: "),
        ({**ONE, "seed": -5}, 400, "seed: Input should be greater than or equal to 0"),
        ({**ONE, "seed": 1.5}, 400, "seed: "),
        ({**ONE, "seed": 10**400}, 400, "seed: "),
        ({**ONE, "seed": True}, 400, "seed: "),
        ({**ONE, "temperature": float("nan")}, 400, "temperature: "),
        ({**ONE, "temperature": float("inf")}, 400, "temperature: "),
        ({**ONE, "temperature": 0}, 400, "temperature: "),
        ({**ONE, "temperature": "hot"}, 400, "temperature: "),
        ({**ONE, "speed": 2.0}, 400, "speed: no policy has another than 1"),
        ({**ONE, "speed": -1}, 400, "speed: no policy has another than 1"),
        ({**ONE, "instructions": "cheerful"}, 400, "instructions: this server knows no such field"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_the_reason(server: Running, body: Any, status: int, message: str):
    reply = post(server.address, body)

    assert (reply.status, message in reply.message) == (status, True), reply.message
    assert len(reply.body) < 600  # what was sent is not sent back


@pytest.mark.parametrize(
    ("voice", "status", "message"),
    [
        ({"audio": "!!"}, 400, "not base64"),
        ({"audio": "ü"}, 400, "not base64"),
        ({"audio": ""}, 400, "unreadable audio"),
        ({"audio": "QQ=="}, 400, "other file of libsndfile, found Format not recognised."),
        ({"audio": base64.b64encode(b"not audio" * 100).decode()}, 400, "unreadable audio"),
        ({"audio": base64.b64encode(b"\0" * 100_003).decode()}, 413, "more than the 100000 bytes"),
        (recording(np.full(8000, np.nan), subtype="FLOAT"), 400, "non-finite samples"),
        (recording(np.zeros(8000)), 400, "silent audio"),
        (recording(np.zeros(0)), 400, "empty audio"),
        (recording(np.ones((1000, 9)) / 2), 400, "too many channels"),
        (recording(np.ones(1000) / 2, rate=1000), 400, "impossible sample rate"),
    ],
)
def test_a_voice_prompt_that_cannot_be_used_never_reaches_a_worker(
    server: Running, voice: dict[str, str], status: int, message: str
):
    reply = post(server.address, {**ONE, "voice": voice})

    assert (reply.status, message in reply.message) == (status, True), reply.message


def test_base64_may_come_in_every_form_that_the_registered_version_takes(server: Running):
    file = wav(1.2)
    plain = base64.b64encode(file).decode()
    forms = [
        plain,
        plain.rstrip("="),
        base64.urlsafe_b64encode(file).decode(),
        base64.encodebytes(file).decode(),  # in lines, as `base64 FILE` prints it
        f"data:audio/wav;base64,{plain}",
    ]
    replies = [post(server.address, {**ONE, "voice": {"audio": form}}) for form in forms]

    assert [reply.status for reply in replies] == [200] * len(forms)
    assert len({reply.body for reply in replies}) == 1


def test_a_prompt_in_lines_may_be_as_large_as_one_in_a_single_line(server: Running):
    file = wav(3.12)
    assert 99_000 < len(file) <= 100_000
    assert post(server.address, {**ONE, "voice": {"audio": base64.encodebytes(file).decode()}}).status == 200


def test_a_clipped_voice_prompt_is_warned_of_in_a_header(server: Running):
    sound = 0.5 * np.sin(np.arange(16000) * 0.1)
    assert "X-Warning" not in post(server.address, {**ONE, "voice": recording(sound)}).headers
    clipped = post(server.address, {**ONE, "voice": recording(np.clip(10 * sound, -1, 1))})
    assert clipped.status == 200 and clipped.headers["X-Warning"].startswith("the voice prompt is clipped (")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_a_page_in_a_browser_may_send_unasked_is_refused(server: Running, kind: str):
    assert post(server.address, ONE, {"Content-Type": kind}).status == 415


def test_other_addresses_and_methods(server: Running):
    assert send(f"{server.address}/v1/audio/speech").status == 405
    assert send(f"{server.address}/v1/audio/transcriptions").status == 404


@contextlib.contextmanager
def connection(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield client


def everything(client: socket.socket) -> bytes:
    """What the server sends until it closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


HEAD = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_a_giant_body_is_refused_before_it_is_sent(server: Running):
    with connection(server) as client:
        client.sendall(HEAD + b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")

        assert everything(client).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_sends_all_of_a_giant_body_first_reads_the_refusal(server: Running):
    with connection(server) as client:
        client.sendall(HEAD + b"Content-Length: 50000000\r\n\r\n")
        for _ in range(50):  # a reset on the way would be an error here
            client.sendall(b"A" * 1_000_000)

        assert everything(client).startswith(b"HTTP/1.1 413 ")


def test_a_refused_body_is_answered_before_it_comes(server: Running):
    with connection(server) as client:
        client.sendall(HEAD + b"Content-Length: 50000000\r\n\r\nA")

        assert everything(client).startswith(b"HTTP/1.1 413 ")
        assert len(server.server.server_state.connections) >= 1  # the rest may still come, and is thrown away


def test_a_giant_body_without_a_length_is_refused_while_it_is_sent(server: Running):
    with connection(server) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")

        assert everything(client).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_trickles_in_is_given_up(server: Running):
    with connection(server) as client:
        client.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")

        assert everything(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/au", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea"])
def test_headers_that_do_not_come_close_the_connection(server: Running, sent: bytes):
    with connection(server) as client:
        client.sendall(sent)

        assert everything(client).count(b"HTTP/1.1 200") == sent.count(b"health ")


def test_headers_that_do_not_end_are_refused(server: Running):
    with connection(server) as client:
        with contextlib.suppress(OSError):
            client.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 1_000_000)

        assert b"200" not in everything(client)


def test_a_client_that_does_not_read_is_closed(server: Running):
    before = len(server.server.server_state.connections)
    with connection(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({**ONE, "input": "one. " * 20, "response_format": "wav"}).encode()
        for _ in range(40):  # pipelined: more than the buffers of both sides hold
            client.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        server.wait(lambda: len(server.server.server_state.connections) > before)
        server.wait(lambda: len(server.server.server_state.connections) <= before)


def test_a_token_is_required_where_there_is_one(start):
    token = "a long and secret word"
    server = start(token=token)
    kind = {"Content-Type": "application/json"}

    assert post(server.address, ONE).status == 401
    assert post(server.address, ONE, {**kind, "Authorization": "Bearer guess"}).status == 401
    assert post(server.address, ONE, {**kind, "Authorization": f"Bearer {token}"}).status == 200
    assert send(f"{server.address}/metrics").status == 401
    assert send(f"{server.address}/v1/models").status == 401
    assert send(f"{server.address}/health").status == 200  # for load balancers, which know no token
