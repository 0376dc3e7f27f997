"""From MLflow's webhooks to Prefect's events: who may call, what is passed on, and the whole way on real servers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
from starlette.testclient import TestClient

from flows import webhook

SECRET = "a secret of the tests"
MOVED = {
    "entity": "model_version_alias",
    "action": "created",
    "data": {"name": "speechalign-policy", "alias": "champion", "version": "3"},
}


def headers(body: bytes, secret: str = SECRET, age: float = 0, call: str = "one") -> dict[str, str]:
    """What MLflow sends: an independent reading of Standard Webhooks."""
    sent = str(int(time.time() - age))
    signed = hmac.new(secret.encode(), b".".join([call.encode(), sent.encode(), body]), hashlib.sha256).digest()
    return {
        "X-MLflow-Delivery-Id": call,
        "X-MLflow-Timestamp": sent,
        "X-MLflow-Signature": "v1," + base64.b64encode(signed).decode(),
    }


@pytest.fixture
def emitted(monkeypatch):
    events = []
    monkeypatch.setattr(webhook, "emit", events.append)
    return events


@pytest.fixture
def client():
    return TestClient(webhook.application(SECRET))


def test_a_moved_champion_is_one_event(client, emitted):
    body = json.dumps(MOVED).encode()
    answers = [client.post("/mlflow", content=body, headers=headers(body)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert emitted[0]["event"] == webhook.EVENT and emitted[0]["payload"]["version"] == "3"
    assert emitted[0]["id"] == emitted[1]["id"]  # the same call, sent twice


def test_the_signature_is_mlflows_own(client, emitted):
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = json.dumps(MOVED)
    own = headers(body.encode())
    assert own["X-MLflow-Signature"] == _generate_hmac_signature(SECRET, "one", own["X-MLflow-Timestamp"], body)


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"secret": "another"}, 401), ({"age": 4000}, 401), ({"age": -4000}, 401)],
    ids=["another secret", "an old call", "a call from the future"],
)
def test_who_cannot_sign_is_refused(client, emitted, changed, status):
    body = json.dumps(MOVED).encode()
    assert client.post("/mlflow", content=body, headers=headers(body, **changed)).status_code == status
    assert client.post("/mlflow", content=body).status_code == 401
    assert not emitted


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[", 401),
        (b"[]", 401),
        (b"[" * 5000, 401),
        (b"x" * 100_000, 413),
        (json.dumps({**MOVED, "data": {**MOVED["data"], "version": "3; rm"}}).encode(), 401),
        (json.dumps({**MOVED, "data": {**MOVED["data"], "alias": "candidate"}}).encode(), 200),
        (json.dumps({**MOVED, "action": "deleted"}).encode(), 200),
    ],
    ids=["no JSON", "a list", "deep", "large", "no version", "another alias", "deleted"],
)
def test_what_is_no_news_of_the_champion_goes_no_further(client, emitted, body, status):
    assert client.post("/mlflow", content=body, headers=headers(body)).status_code == status
    assert not emitted


def test_mlflow_is_asked_to_call_again_while_prefect_is_away(client, monkeypatch):
    def away(_event):
        raise OSError("connection refused")

    monkeypatch.setattr(webhook, "emit", away)
    body = json.dumps(MOVED).encode()
    assert client.post("/mlflow", content=body, headers=headers(body)).status_code == 503
