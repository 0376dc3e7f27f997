"""A worker's side: one stage in a fresh clone. Its deployments are in prefect.yaml, one per pool.

A worker needs this project's packages, git, the repository and DVC's remote; nothing stays on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psutil
from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows import process, tracked
from flows.pools import job, lock, transfer
from flows.pools.job import Job
from flows.pools.report import Reporter
from flows.stage import FAILED, Outcome, machine_threads, repro
from model.errors import SpeechAlignError
from tasks.common.secrets import masked
from tasks.common.tracking import patience

POLL_SECONDS = 5.0
WORK = "SPEECHALIGN_WORK"  # folder for clones; the system's folder for temporary files without
CACHE = "SPEECHALIGN_DVC_CACHE"  # folder that keeps data between stages; without, each fetches its inputs again
_PREFIX = f"speechalign-stage-{socket.gethostname()}-"  # containers may share the folder, but no process numbers


class CloneError(SpeechAlignError):
    """The commit could not be cloned."""


@flow(name=job.FLOW, flow_run_name="{order.stage}", persist_result=False)
def speechalign_stage(order: Job) -> State[None]:
    """Run one stage of a commit in a fresh clone and hand back its entry of dvc.lock.

    Args:
        order: the stage, its commit and what the stages before it have made.
    """
    process.allow()
    logger = get_run_logger()
    with Reporter(UUID(flow_run.get_id()), order.stage) as reporter:

        def show(line: str) -> None:
            logger.info(line)
            reporter.say(line)

        try:
            outcome, entry = work(order, show)
        except (SpeechAlignError, OSError) as error:
            message = masked(transfer.disk_full(str(error), folder()) or str(error))
            outcome, entry = Outcome(FAILED, message=f"worker on {socket.gethostname()}: {message}"), ""
        finally:
            process.stop_all()
        reporter.deliver(how=outcome.how, seconds=outcome.seconds, message=outcome.message, entry=entry)
    if outcome.how == FAILED:
        return Failed(message=outcome.message)
    return Completed(name=outcome.how.capitalize(), message=f"{outcome.how}, {outcome.seconds:.1f} s")


def work(order: Job, show: Callable[[str], None]) -> tuple[Outcome, str]:
    """Clone, fetch, run, store. Returns the outcome, and the stage's entry of dvc.lock as JSON.

    Raises:
        SpeechAlignError: the commit or the data are out of reach, or the disk is full.
    """
    with _clone(order, show), process.variables(_settings(order)):
        lock.replace(json.loads(order.lock))
        show(f"fetching {', '.join(order.inputs) or 'no inputs'}")
        transfer.pull(order.inputs)
        if not order.force:
            transfer.past_runs(order.stage)
        outcome = repro(order.stage, machine_threads(), order.timeout, show, order.force)
        if outcome.how == FAILED:
            full = transfer.disk_full(outcome.message, Path.cwd())
            return (Outcome(FAILED, outcome.seconds, full) if full else outcome), ""
        entry = lock.entries([order.stage])[order.stage]
        outs = [out["path"] for out in entry.get("outs", [])]
        show(f"storing {', '.join(outs)}")
        transfer.push(outs, run_cache=True)
        send_points(show)
        return outcome, json.dumps(entry)


def _settings(order: Job) -> dict[str, str]:
    """Return what the stage is told about MLflow, where the worker has no settings of its own."""
    wanted = patience.setting() | ({job.TRACKING: order.tracking} if order.tracking else {})
    return {name: value for name, value in wanted.items() if name not in os.environ}


def send_points(show: Callable[[str], None]) -> None:
    """Send MLflow the points that it missed while it was away: they are kept in the clone, which will be removed."""
    deadline = time.monotonic() + patience.AWAY_SECONDS
    said: list[str] = []
    while tracked.lacking() and (reason := tracked.send()):
        if time.monotonic() > deadline:
            show(f"warning: MLflow lacks points of this stage's curves: {reason}")
            return
        if reason not in said:
            show(f"waiting for MLflow: {reason}")
            said.append(reason)
        process.wait(POLL_SECONDS)


def folder() -> Path:
    """The folder for clones."""
    return Path(os.environ.get(WORK) or tempfile.gettempdir())


@contextlib.contextmanager
def _clone(order: Job, show: Callable[[str], None]) -> Iterator[None]:
    """Enter a fresh clone of the commit, and remove it at the end."""
    _sweep()
    show(f"cloning {order.commit[:10]} of {order.repository}")
    before = Path.cwd()
    own = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=folder()))
    try:
        _git("clone", "--quiet", "--no-checkout", "--", order.repository, str(own))
        os.chdir(own)
        _git("checkout", "--quiet", "--detach", order.commit)
        if cache := os.environ.get(CACHE):
            _local_setting("cache", "dir", cache)
        yield
    finally:
        os.chdir(before)
        shutil.rmtree(own, ignore_errors=True)


def _local_setting(section: str, name: str, value: str) -> None:
    from dvc.config import Config

    with Config(str(Path(".dvc").resolve()), validate=True).edit("local") as edited:
        edited[section][name] = value


def _sweep() -> None:
    """Remove the clones of workers that were killed."""
    for left in folder().glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _git(*arguments: str) -> None:
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}  # no one is there to type a password
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, env=quiet)
    if done.returncode:
        said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise CloneError(f"`git {arguments[0]}` failed: {said}. Was the commit pushed, and may this machine read it?")
