"""A stage ends with the DVC that runs it.

After ``kill -9`` of ``dvc repro`` alone the stage would go on, and the next run would write the same files at the same
time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

SECONDS = 0.5  # between two looks
STATUS = 137  # as if the signal had met the stage itself


def end_with_dvc() -> None:
    """End this process, and what it has started, as soon as the DVC above it is gone; nothing where there is none."""
    if not os.environ.get("DVC_STAGE"):
        return
    above = _up_to_dvc(psutil.Process().parents())
    if not above and os.getppid() == 1:  # DVC was killed while this process was still importing its modules
        os._exit(STATUS)
    if above:
        threading.Thread(target=_watch, args=(above,), daemon=True).start()


def _up_to_dvc(parents: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the processes between this one and DVC, with DVC; none where DVC is not among them."""
    for i, process in enumerate(parents):
        with contextlib.suppress(psutil.Error):
            if any(Path(word).name in ("dvc", "dvc.exe") for word in process.cmdline()[:4]):
                return list(parents[: i + 1])
    return []


def _watch(above: Sequence[psutil.Process]) -> None:
    while all(map(_runs, above)):
        time.sleep(SECONDS)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    os._exit(STATUS)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
