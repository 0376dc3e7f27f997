"""The processes that train one stage together, by rank: which of them this is, and how it tells what failed.

The command that a person or DVC starts waits for its workers (:mod:`tasks.common.launch`). Each worker runs the same
stage up to the end of the training. The first one alone writes, logs and shows progress.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LAUNCHED = "TORCHELASTIC_RUN_ID"  # set by torch's launcher in its workers
LOST = "speechalign-lost"  # marks the message of a worker whose neighbors went away: theirs says why
WATCH_SECONDS = 0.5


class Done(Exception):  # noqa: N818
    """The workers have done the stage, so the command that started them has nothing left to do."""


def is_worker() -> bool:
    """Return whether a launcher started this process."""
    return LAUNCHED in os.environ


def is_first() -> bool:
    """Return whether this process is the one that writes, logs and shows progress."""
    return not is_worker() or os.environ["RANK"] == "0"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Print nothing unless this is the first process, and end with the command that started it."""
    if is_worker():
        threading.Thread(target=end_with_parent, args=[os.getppid()], daemon=True).start()
    if is_first():
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def hand_over(message: str) -> None:
    """Leave a worker's message where its launcher looks for one (torch.distributed.elastic's error file)."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        content = {"message": message, "extraInfo": {"timestamp": str(int(time.time())), "py_callstack": ""}}
        Path(file).write_text(json.dumps({"message": content}), encoding="utf-8")
    else:  # started by another launcher, which reads none
        print(f"error: {message}", file=sys.stderr, flush=True)


def lost_others(error: BaseException) -> bool:
    """Return whether the error says that another process went away: gloo's have no type of their own."""
    return is_worker() and isinstance(error, RuntimeError) and ("gloo" in str(error) or "NCCL" in str(error))


def end_with_parent(parent: int) -> None:
    """End this process once the one that started it is gone, even if that was killed."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
