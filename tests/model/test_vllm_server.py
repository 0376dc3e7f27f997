"""The client of a vLLM server against a small server that speaks its API, over a small model."""

import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from model.drawable import Drawable
from model.sampling import Decoding, Request, sample
from model.vllm_server import Server, ServerError, check_same_policy
from tests.loopback import running
from tests.model.causal_models import causal

DRAWABLE = Drawable(range(40, 97), (2, 5))
FIELDS = {"model", "prompt", "max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"}
FIELDS |= {"allowed_token_ids", "stop_token_ids", "ignore_eos", "min_tokens", "logprobs", "return_token_ids"}
FIELDS |= {"skip_special_tokens", "add_special_tokens"}


@contextmanager
def serving(complete, models=("policy",)):
    """A server on loopback; ``complete`` makes a choice, or a (status, text), from a request's body."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def reply(self, status, content):
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(BrokenPipeError):  # a client that waited no longer
                self.wfile.write(data)

        def do_GET(self):
            self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in models]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = complete(body)
            if isinstance(answer, tuple):
                self.reply(*answer)
            else:
                self.reply(200, {"object": "text_completion", "model": body["model"], "choices": [answer]})

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield address


def choice(ids, logprobs, reason, stop=None):
    logprobs = {"tokens": [f"token_id:{i}" for i in ids], "token_logprobs": logprobs, "top_logprobs": [{}] * len(ids)}
    return {
        "index": 0, "text": "", "token_ids": ids, "logprobs": logprobs, "finish_reason": reason, "stop_reason": stop,
    }  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return causal("qwen2, tied")


def small_vllm(model, bodies):
    """What vLLM does with a request: up to max_tokens tokens, a stop among them."""
    one_at_a_time = threading.Lock()

    def complete(body):
        bodies.append(body)
        stops = tuple(body["stop_token_ids"])
        drawable = Drawable([i for i in body["allowed_token_ids"] if i not in stops], stops)
        decoding = Decoding(body["temperature"], max(0, body["top_k"]), body["top_p"], min_p=body["min_p"])
        with one_at_a_time:
            asked = Request(tuple(body["prompt"]), body["max_tokens"], body["seed"])
            [drawn] = sample(model, [asked], decoding, drawable)
        ids = drawn.target[: body["max_tokens"]]
        ended = drawn.finished and len(ids) == len(drawn.target)
        return choice(ids, drawn.logprobs[: len(ids)].tolist(), "stop" if ended else "length", drawn.stop)

    return complete


def test_its_records_are_those_of_the_sampler(model):
    rng, bodies, done = np.random.default_rng(0), [], []
    asked = [
        Request(tuple(rng.integers(3, 97, 5 + i % 3).tolist()), int(rng.integers(4, 30)), 2**61 + i) for i in range(12)
    ]
    decoding = Decoding(0.8, top_k=40, top_p=0.95, min_p=0.01)
    with serving(small_vllm(model, bodies)) as url:
        found = Server(url, parallel=4).sample(asked, decoding, DRAWABLE, done.append)
    expected = sample(model, asked, decoding, DRAWABLE)
    assert {s.finished for s in expected} == {True, False}
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and a.tokens.dtype == np.int32
        assert (a.finished, a.stop, a.stuck) == (b.finished, b.stop, b.stuck)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        assert a.behavior.shape == b.behavior.shape and np.isnan(a.behavior).all()
    check_same_policy(model, url, asked[0], found[0])
    with pytest.raises(ServerError, match=rf"{url}: its log-probabilities differ .* it serves another model"):
        check_same_policy(causal("qwen2, tied", seed=1), url, asked[0], found[0])
    assert sum(done) == 12 and all(set(body) == FIELDS for body in bodies)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, "out of memory"), "refused with status 500: out of memory"),
        ((200, "<html>"), "answered what is not JSON"),
        ((200, {"choices": []}), "expected token_ids, logprobs and finish_reason"),
        ((200, {"choices": [{"text": "a", "logprobs": None, "finish_reason": "stop"}]}), "expected token_ids"),
        (choice([50, 51], [-1.0, -1.0], "stop"), "expected tokens up to a stop token"),
        (choice([50, 51], [-1.0], "length"), "expected tokens up to a stop token"),
        (choice([50, 7, 2], [-1.0] * 3, "stop"), "expected at most 4 code tokens"),
        (choice([50] * 9 + [2], [-1.0] * 10, "stop"), "expected at most 4 code tokens"),
        (choice([50, 2], [-1.0, None], "stop"), "expected finite log-probabilities"),
    ],
)
def test_an_answer_that_is_no_sample_is_one_message_with_the_address(answer, message):
    with serving(lambda body: answer) as url, pytest.raises(ServerError, match=f"{url}.*{message}"):
        Server(url).sample([Request((4, 5), 4, 0)], Decoding(), DRAWABLE)


def test_a_server_that_is_late_not_there_or_has_two_models_is_one_message():
    request = [Request((4, 5), 4, 0)]
    late = pytest.raises(ServerError, match=r"did not answer within 0\.2 s")
    with serving(lambda body: time.sleep(1.0) or (500, "")) as url, late:
        Server(url, timeout=0.2).sample(request, Decoding(), DRAWABLE)
    with pytest.raises(ServerError, match="cannot be reached"):
        Server(url).sample(request, Decoding(), DRAWABLE)
    two = pytest.raises(ServerError, match=r"serves \['a', 'b'\]; expected one model")
    with serving(lambda body: None, models=("a", "b")) as url, two:
        Server(url).sample(request, Decoding(), DRAWABLE)


def test_what_a_server_cannot_do_is_refused_before_it_is_asked():
    server = Server("http://127.0.0.1:9")
    with pytest.raises(ServerError, match="penalizes repetition over the whole sequence"):
        server.sample([], Decoding(repetition_penalty=1.1, repetition_window=64), DRAWABLE)
    with pytest.raises(ServerError, match="are not drawn again"):
        server.sample([], Decoding(redraw_stuck=1), DRAWABLE)
