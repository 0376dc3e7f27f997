"""Bring MLflow up to date with this folder. ``python -m tasks.common.tracking``

Sends metric points that a server did not take when it was gone. Where the project was moved or copied, points its
artifacts to where they are.
"""

from __future__ import annotations

import typer

from tasks.common.stage import one_message
from tasks.common.tracking.client import connect
from tasks.common.tracking.outbox import send_unsent


def main() -> None:
    """Send what MLflow has missed, and let it find the artifacts of a project that was moved."""
    with one_message():
        points, runs = send_unsent(connect())
        print(f"sent {points} metric points of {runs} runs")


if __name__ == "__main__":
    typer.run(main)
