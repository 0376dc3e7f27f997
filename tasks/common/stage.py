"""The frame around every command: one message for an error that a user can act on, and a note of the time it took."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from model.errors import SpeechAlignError
from tasks.common import inputs, interrupts, orphans, paths, ranks, secrets
from tasks.common.code import running

ERROR, HINT = "error: ", "(SPEECHALIGN_DEBUG=1 shows where)"
# Faults of the machine or of a name, not of the code: disk, permissions, limits. A missing file is no such fault.
MACHINE = {"ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE", "ENOMEM",
           "ENAMETOOLONG", "ELOOP"}  # fmt: skip


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Print an error that a user can act on as one message and exit with status 1; leave bugs their traceback.

    Raises:
        RuntimeError: from an EOFError, which click would take for Ctrl-D and report as "Aborted.".
    """
    interrupts.heed()
    try:
        yield
    except EOFError as error:
        raise RuntimeError(f"a file ended early: {error}") from error
    except (SpeechAlignError, OSError) as error:
        machine = isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in MACHINE
        if os.environ.get("SPEECHALIGN_DEBUG") or not (machine or isinstance(error, SpeechAlignError)):
            secrets.mask_error(error)
            raise
        if ranks.is_worker():
            ranks.hand_over(secrets.masked(str(error)))
        else:
            print(f"{ERROR}{secrets.masked(str(error))}\n{HINT}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
    except Exception as error:
        secrets.mask_error(error)
        if not ranks.lost_others(error) or os.environ.get("SPEECHALIGN_DEBUG"):
            raise
        ranks.hand_over(f"{ranks.LOST}{error}")
        raise SystemExit(1) from error


def stage(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a stage within :func:`one_message` and note its time.

    An edit of its code, settings or inputs during the run is an error: DVC would record the later ones. Ctrl-C ends it
    with a message and status 130. It ends with its DVC (:mod:`tasks.common.orphans`). A worker
    (:mod:`tasks.common.ranks`) leaves all of this to the command that started it.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.time()
        with one_message():
            if "iteration" in kwargs:
                kwargs["iteration"] = iteration_of(kwargs["iteration"])
            try:
                if ranks.is_worker():
                    with ranks.quiet():
                        return function(*args, **kwargs)
                orphans.end_with_dvc()
                return _checked(lambda: function(*args, **kwargs), started)
            except KeyboardInterrupt:
                if ranks.is_worker():
                    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher hands the same Ctrl-C on
                else:
                    print("stopped; nothing half-written; run again to go on", file=sys.stderr, flush=True)
                raise SystemExit(interrupts.STATUS) from None

    return run


def _checked(work: Callable[[], Any], started: float) -> Any:
    """Do the work of a stage and return its result, unless what it rests on changes meanwhile."""
    before, code = inputs.noted(), running.noted()
    running.check(code)
    result = None
    with contextlib.suppress(ranks.Done):
        result = work()
    running.check(code)
    note_time(started)
    inputs.check(before)  # last: DVC reads them right after
    return result


def iteration_of(name: str) -> str:
    """Return the iteration that a command was given by its name, or by the name that DVC gives the stage (``align@1``).

    Raises:
        InputError: no iteration can be called so.
    """
    of_dvc = os.environ.get("DVC_STAGE")
    return paths.check_name(name.rpartition("@")[2] if of_dvc and name == of_dvc else name)


def note_time(started: float) -> None:
    """Append the stage's working time (imports and DVC left out) to ``timings.jsonl``, for benchmarks/demo.py.

    ``processor`` is the time on all cores, imports included: it says the same on a busy machine.
    """
    if not Path("dvc.yaml").is_file():
        return  # not in a workspace: a tool used elsewhere leaves no folders behind
    paths.STATE.mkdir(parents=True, exist_ok=True)
    entry = {"command": " ".join(sys.orig_argv[1:]), "start": started, "end": time.time()}
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    entry["processor"] = sum(one.ru_utime + one.ru_stime for one in used)
    with (paths.STATE / "timings.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(entry) + "\n")


def failure(errors: Sequence[str]) -> str:
    """Return why a stage failed, in its own words, from the lines of its standard error; "" without any."""
    lines = [line for line in errors if line.strip() and line != HINT]
    starts = [i for i, line in enumerate(lines) if line.startswith(ERROR)]
    start = starts[-1] if starts else len(lines) - 1
    while start > 0 and lines[start].startswith(" "):  # an indented list belongs to the line above it
        start -= 1
    return "\n".join(lines[max(start, 0) :]).removeprefix(ERROR)
