"""From MLflow's webhooks to Prefect's events: ``python -m flows.webhook``

MLflow calls an address when an alias moves. Prefect's own server takes no such calls, so this one checks the signature
and passes the news on as an event, which a deployment's trigger waits for (prefect.yaml).

    SPEECHALIGN_WEBHOOK_SECRET=... python -m flows.webhook --port 8484
    python -m flows.webhook --register http://127.0.0.1:8484/mlflow     # once: asks MLflow to call it
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from model.errors import SpeechAlignError
from tasks.common.stage import one_message

SECRET = "SPEECHALIGN_WEBHOOK_SECRET"
EVENT = "speechalign.champion.moved"
ALIAS = "champion"
LARGEST_BYTES = 64 * 1024
SECONDS = 300  # for which a call is good
SHORTEST_SECRET = 16


class RefusedError(SpeechAlignError):
    """A call that did not come from MLflow, or not now."""


def check(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str:
    """Return the id of a call whose signature is right (Standard Webhooks: HMAC-SHA256 of id, time and body).

    Raises:
        RefusedError: the signature is missing or wrong, or the call is old.
    """
    call, sent, given = (headers.get(f"x-mlflow-{name}", "") for name in ("delivery-id", "timestamp", "signature"))
    if not sent.isdecimal() or abs(now - int(sent)) > SECONDS:
        raise RefusedError(f"expected a call of the last {SECONDS} s")
    digest = hmac.new(secret.encode(), f"{call}.{sent}.".encode() + body, hashlib.sha256).digest()
    if not hmac.compare_digest(f"v1,{base64.b64encode(digest).decode()}", given):
        raise RefusedError("expected a call with the signature of the shared secret")
    return call


def event_of(body: bytes, call: str) -> dict[str, Any] | None:
    """Return Prefect's event for a call, or None if it is about something else than the champion.

    Raises:
        RefusedError: it is no call of MLflow.
    """
    try:
        content = json.loads(body)
        data, kind = content["data"], (content["entity"], content["action"])
        if kind != ("model_version_alias", "created") or data["alias"] != ALIAS:
            return None
        name, version = str(data["name"]), str(int(data["version"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(f"expected a call of MLflow about an alias, found: {error!r}") from error
    return {
        # The same call, sent twice, is the same event.
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlflow:{call}")),
        "occurred": datetime.now(UTC).isoformat(),
        "event": EVENT,
        "resource": {"prefect.resource.id": f"mlflow.registered-model.{name}", "prefect.resource.name": name},
        "payload": {"name": name, "alias": ALIAS, "version": version},
    }


def application(secret: str) -> Starlette:
    """Return the server: ``POST /mlflow`` and ``GET /health``."""

    async def receive(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BYTES:
                return PlainTextResponse("too large", 413)
        try:
            event = event_of(body, check(request.headers, body, secret, time.time()))
        except RefusedError as error:
            return PlainTextResponse(str(error), 401)
        if event is None:
            return PlainTextResponse("nothing to do", 200)
        try:
            await run_in_threadpool(emit, event)
        except Exception as error:
            # MLflow calls again after a 503.
            return PlainTextResponse(f"Prefect's server took no event: {type(error).__name__}", 503)
        return PlainTextResponse("passed on", 202)

    async def health(_: Request) -> Response:
        return PlainTextResponse("OK")

    return Starlette(routes=[Route("/mlflow", receive, methods=["POST"]), Route("/health", health)])


def emit(event: dict[str, Any]) -> None:
    """Give an event to Prefect's server."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event])


def register(address: str, secret: str) -> str:
    """Ask MLflow to call an address when an alias of the registered model moves; returns the webhook's id."""
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

    from tasks.common.tracking.client import connect, failures

    client = connect()
    with failures():
        moved = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
        for known in client.list_webhooks():
            if known.url == address:
                client.delete_webhook(known.webhook_id)
        return client.create_webhook("speechalign", address, [moved], secret=secret).webhook_id


def main(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8484,
    address: Annotated[str | None, typer.Option("--register", help="ask MLflow to call this address, and end")] = None,
) -> None:
    """Pass the news of a moved champion from MLflow on to Prefect."""
    with one_message():
        secret = os.environ.get(SECRET, "")
        if len(secret) < SHORTEST_SECRET:
            raise SpeechAlignError(
                f"{SECRET} should hold the secret that MLflow signs with, {SHORTEST_SECRET} letters or more; "
                "make one: openssl rand -hex 24"
            )
        if address:
            print(f"MLflow calls {address} when {ALIAS} moves (webhook {register(address, secret)})")
            return
    import uvicorn

    uvicorn.run(application(secret), host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    typer.run(main)
