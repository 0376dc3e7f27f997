"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.limits import Limits
from tests.serving.running import Running


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """A function that starts a server: ``start(workers=2, waiting=4)``."""
    running: list[Running] = []

    def starting(workers: int = 1, token: str | None = None, **limits: Any) -> Running:
        running.append(Running(Limits(**limits), workers, token))
        return running[-1]

    yield starting
    for server in running:
        server.stop()
