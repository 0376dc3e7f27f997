"""The frame around every stage: errors a person can act on, and a note of the time it took."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from tasks.common import paths
from tasks.common.files import DataError
from tasks.common.params import ParamsError

ERROR, HINT = "error: ", "(SPEECHALIGN_DEBUG=1 shows where)"


def failure(errors: Sequence[str]) -> str:
    """Why a stage failed, in its own words, from the lines of its standard error; "" where it said nothing."""
    lines = [line for line in errors if line.strip() and line != HINT]
    starts = [i for i, line in enumerate(lines) if line.startswith(ERROR)]
    start = starts[-1] if starts else len(lines) - 1
    while start > 0 and lines[start].startswith(" "):  # an indented list belongs to the line above it
        start -= 1
    return "\n".join(lines[max(start, 0) :]).removeprefix(ERROR)


def note_time(started: float) -> None:
    """Append the stage's own working time (imports and DVC left out) to ``timings.jsonl``, for benchmarks/demo.py."""
    if not Path("dvc.yaml").is_file():
        return  # not in a workspace: a tool used elsewhere leaves no folders behind
    paths.STATE.mkdir(parents=True, exist_ok=True)
    entry = {"command": " ".join(sys.orig_argv[1:]), "start": started, "end": time.time()}
    with (paths.STATE / "timings.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(entry) + "\n")


def stage(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the errors that a user can mend into one message and exit status 1; leave bugs their traceback."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.time()
        try:
            result = function(*args, **kwargs)
            note_time(started)
            return result
        except (DataError, ParamsError, ValueError, OSError) as error:
            if os.environ.get("SPEECHALIGN_DEBUG"):
                raise
            print(f"{ERROR}{error}\n{HINT}", file=sys.stderr, flush=True)
            raise SystemExit(1) from error

    return run
