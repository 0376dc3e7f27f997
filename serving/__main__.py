"""Speech over HTTP: ``speechalign serve --voices FOLDER`` (docs/serving.md)."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
from pathlib import Path
from typing import Annotated

import typer

from serving.limits import Limits
from tasks.common.files import DataError
from tasks.common.stage import one_message
from tasks.register.speech import DEFAULT_MODEL

TOKEN = "SPEECHALIGN_SERVE_TOKEN"
SHORTEST_TOKEN = 16


def main(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine only with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    model: Annotated[str, typer.Option(help="A version, or an alias that is followed when it moves.")] = DEFAULT_MODEL,
    voices: Annotated[Path | None, typer.Option(help="Folder of recordings; alice.wav is the voice alice.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Requests at once; each is a process.")] = 1,
    queue: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; more are refused with 429.")
    ] = Limits.waiting,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a text may take.")] = Limits.synthesis_seconds,
    wait: Annotated[
        float, typer.Option(min=0.1, help="Seconds in the queue; more are refused with 503.")
    ] = Limits.queue_seconds,
    max_characters: Annotated[int, typer.Option(min=1, help="Longest text.")] = Limits.characters,
    max_prompt_bytes: Annotated[int, typer.Option(min=1, help="Largest voice prompt.")] = Limits.prompt_bytes,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the registry.")] = 10.0,
) -> None:
    """Serve the champion as speech over HTTP, by OpenAI's interface (docs/serving.md).

    A token for clients is read from SPEECHALIGN_SERVE_TOKEN. Without one only this machine can connect.
    """
    with one_message():
        token = token_for(host)
        from serving import run
        from serving import voices as prompts
        from serving.champion import Source

        limits = Limits(
            characters=max_characters,
            prompt_bytes=max_prompt_bytes,
            waiting=queue,
            queue_seconds=wait,
            synthesis_seconds=timeout,
        )
        known = prompts.read_folder(voices, limits.prompt_bytes) if voices else {}
        source = Source.parse(model)
        listener = listen(host, port)
        # uvicorn answers what has begun, then raises the signal again: a polite kill ends as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            asyncio.run(run.serve(listener, source, known, token, limits, workers, poll))
        except KeyboardInterrupt:
            print("stopped", flush=True)


def token_for(host: str) -> str | None:
    """Return the token that clients must show, None for none.

    Raises:
        DataError: other machines could connect, and there is no token of at least 16 characters.
    """
    token = os.environ.get(TOKEN) or None
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise DataError(f"{TOKEN} has {len(token)} characters; expected at least {SHORTEST_TOKEN}, printable ASCII")
    if token is None and not _loopback(host):
        raise DataError(
            f"--host {host} can be reached from other machines; set {TOKEN} to a secret of at least {SHORTEST_TOKEN} "
            "characters, or leave --host away"
        )
    return token


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: where it leads can change


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        DataError: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise DataError(f"cannot listen on {host}:{port} ({error.strerror or error}); choose another --port") from error


if __name__ == "__main__":
    typer.run(main)
