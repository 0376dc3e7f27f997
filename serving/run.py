"""The server's life: load, listen, follow the alias, and stop after the requests that have begun."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import uvicorn

from serving.app import Service
from serving.champion import Source, follow
from serving.limits import Limits
from serving.metrics import Metrics
from serving.pool import Pool
from serving.protocol import with_limits
from serving.voices import Voice

SPARE_CONNECTIONS = 128  # beyond those that are served or wait: health, metrics, and refusals


async def serve(
    listener: socket.socket,
    source: Source,
    voices: dict[str, Voice],
    token: str | None,
    limits: Limits,
    workers: int,
    poll_seconds: float,
) -> None:
    """Serve until the process is told to stop.

    Raises:
        DataError: there is no such version, or it does not load.
    """
    metrics = Metrics()
    pool = Pool(source.name, workers, limits, metrics)
    version = await asyncio.to_thread(source.version)
    try:
        await pool.move_to(version)
        metrics.version.set(int(version))
        metrics.registry_up.set(1)
        host, port = listener.getsockname()[:2]
        print(
            f"serve: {source.name} version {version} at http://{f'[{host}]' if ':' in host else host}:{port}",
            flush=True,
        )
        following = asyncio.create_task(follow(source, pool, metrics, poll_seconds)) if source.alias else None
        await server_of(Service(pool, metrics, limits, voices, token)).serve(sockets=[listener])
        if following:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
    finally:
        await pool.close()


def server_of(service: Service) -> uvicorn.Server:
    """Return the HTTP server of a service."""
    limits = service.limits
    config = uvicorn.Config(
        service.app(),
        http=with_limits(limits.receive_seconds, limits.send_seconds),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.waiting + service.pool.size + SPARE_CONNECTIONS,
        h11_max_incomplete_event_size=65536,
        timeout_graceful_shutdown=int(limits.queue_seconds + limits.synthesis_seconds),
    )
    return uvicorn.Server(config)
