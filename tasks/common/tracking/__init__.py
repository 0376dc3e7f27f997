"""MLflow runs of the loop: one parent run per loop, one child per iteration.

``sft_ar`` opens the loop and iteration "0", ``align@k`` opens iteration k under the same parent; the ids travel
between stages in ``runs/k/mlflow.json``. Any later stage resumes the child by these ids::

    ids = tracking.start_iteration("2", tracking.read("1"), params)
    with tracking.resume(ids, "2") as run:
        run.log_metrics({"loss": loss}, step)
    write_json(paths.tracking("2"), ids)
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import digests, paths, ranks, secrets
from tasks.common.files import DataError, read_json
from tasks.common.params import Params, own
from tasks.common.tracking.client import (
    TrackingError,
    connect,
    experiment_id,
    experiment_name,
    failures,
    patiently,
    tracking_uri,
)
from tasks.common.tracking.outbox import send_unsent_quietly
from tasks.common.tracking.run import Run, Unlogged, log_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

__all__ = ["Run", "TrackingError", "read", "resume", "start_iteration", "start_loop"]

PARENT = "mlflow.parentRunId"  # the tag by which MLflow's pages nest runs
ITERATION, SOURCE, SUPERSEDED = "iteration", "source_run_id", "superseded_by"
WORKSPACE = "speechalign.workspace"  # the folder that a loop runs in


def start_loop(params: Params) -> dict[str, Any]:
    """Create the parent run of a new loop and its child "iteration 0"; return their ids, ready for JSON.

    Raises:
        TrackingError: MLflow cannot be reached. Call this before training, so that no training is lost.
    """
    if not ranks.is_first():
        return {}
    client = connect()

    def start() -> dict[str, Any]:
        experiment = experiment_id(client)
        parent = _create(client, experiment, "loop", {WORKSPACE: str(Path.cwd())})
        log_params(client, parent, flatten(params))
        _supersede_killed(client, experiment, parent)
        return _start_child(client, experiment, parent, "0", params)

    return patiently(start)


def read(iteration: str) -> dict[str, Any]:
    """Return the ids that the iteration's stage wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    file = paths.tracking(iteration)
    ids = read_json(file)
    names = ("parent_run_id", "run_id")
    if not isinstance(ids, dict) or not all(isinstance(ids.get(name), str) for name in names):
        stage = "sft_ar" if iteration == "0" else f"align@{iteration}"
        raise DataError(f"{file} should name {' and '.join(names)}; delete it and run `dvc repro {stage}`")
    return ids


def start_iteration(iteration: str, prev_ids: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Create the child "iteration k" in the loop of ``prev_ids``; an earlier run of k there becomes superseded."""
    if not ranks.is_first():
        return {}
    client = connect()

    def start() -> dict[str, Any]:
        experiment = experiment_id(client)
        return _start_child(client, experiment, _known(client, experiment, prev_ids, None), iteration, params)

    return patiently(start)


@contextlib.contextmanager
def resume(ids: Mapping[str, Any], iteration: str) -> Iterator[Run]:
    """Resume the run that ``ids`` names; it ends FINISHED, or FAILED/KILLED when the block raises.

    A clone that has pulled ``runs/`` has not pulled MLflow's database. Where the server does not know the run, a new
    one replaces it, tagged ``source_run_id``. Of the processes that train together, the first one alone logs.
    """
    if not ranks.is_first():
        yield Unlogged()
        return
    client = connect()
    send_unsent_quietly(client)

    def reopen() -> tuple[str, str]:
        experiment = experiment_id(client)
        parent = _known(client, experiment, ids, None)
        child = _known(client, experiment, ids, iteration, parent)
        make_current(client, experiment, parent, child, iteration)
        for run_id in (parent, child):
            client.update_run(run_id, status="RUNNING")
        return parent, child

    parent, child = patiently(reopen)
    run = Run(client, child, parent, int(ids.get("step", 0)))
    status = "FINISHED"
    try:
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        run.close(status)


def flatten(params: Params) -> dict[str, str]:
    """Return ``params.yaml`` as dotted names and printable values."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = secrets.masked(value if isinstance(value, str) else json.dumps(value))

    walk("", params.model_dump(mode="json", by_alias=True))
    return flat


def environment_tags() -> dict[str, str]:
    """Tags of what the run depends on in addition to params and data; those that are not known are left out."""
    tags = {"torch": metadata.version("torch"), "python": sys.version.split()[0]}
    if digests.LOCK.is_file():
        tags["dvc_lock_md5"] = digests.compute_file(digests.LOCK)
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # no git, or no repository: a release archive
        commit = _git("rev-parse", "HEAD")
        tags["mlflow.source.git.commit"] = commit
        tags["git_modified"] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    return tags


def make_current(client: MlflowClient, experiment: str, parent: str, child: str, iteration: str) -> None:
    """Tag every other run of this iteration in the loop as superseded by ``child``.

    A superseded run can become current again: DVC's run cache may restore its ids.
    """
    with failures():
        for run in _search(client, experiment, {PARENT: parent, ITERATION: iteration}):
            if run.info.run_id == child:
                if SUPERSEDED in run.data.tags:
                    client.delete_tag(child, SUPERSEDED)
            elif run.data.tags.get(SUPERSEDED) != child:
                client.set_tag(run.info.run_id, SUPERSEDED, child)
                if run.info.status == "RUNNING":  # killed before it could set its status
                    client.set_terminated(run.info.run_id, "KILLED")


def _supersede_killed(client: MlflowClient, experiment: str, parent: str) -> None:
    """Tag the loops of this folder that a kill left running, and their iterations, as superseded by ``parent``."""
    with failures():
        for loop in _search(client, experiment, {WORKSPACE: str(Path.cwd())}):
            if loop.info.run_id == parent or loop.info.status != "RUNNING":
                continue
            for run in (loop, *_search(client, experiment, {PARENT: loop.info.run_id})):
                client.set_tag(run.info.run_id, SUPERSEDED, parent)
                if run.info.status == "RUNNING":
                    client.set_terminated(run.info.run_id, "KILLED")


def _start_child(client: MlflowClient, experiment: str, parent: str, iteration: str, params: Params) -> dict[str, Any]:
    keys = list(params.iterations)
    mine: dict[str, Any] = {}
    if iteration in keys:  # with the values that the method has of its own
        chosen = {"beta": own.beta_of(params, iteration), "nll_weight": own.nll_weight_of(params)}
        mine = {f"iteration.{key}": value for key, value in {**dict(params.iterations[iteration]), **chosen}.items()}
    with failures():
        child = _create(client, experiment, f"iteration {iteration}", {PARENT: parent, ITERATION: iteration})
        others = {key: value for key, value in flatten(params).items() if not key.startswith("iterations.")}
        log_params(client, child, {**others, **mine})
    make_current(client, experiment, parent, child, iteration)
    return {
        "parent_run_id": parent,
        "run_id": child,
        "experiment": experiment_name(),
        "tracking_uri": secrets.address(tracking_uri()),
        "step": keys.index(iteration) + 1 if iteration in keys else 0,
    }


def _create(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    run = client.create_run(experiment, tags={**environment_tags(), **tags}, run_name=name)
    return run.info.run_id


def _known(
    client: MlflowClient, experiment: str, ids: Mapping[str, Any], iteration: str | None, parent: str | None = None
) -> str:
    """Return the id of the parent run (``iteration`` None) or child of ``ids`` here, or of the run that replaces it."""
    from mlflow.exceptions import MlflowException

    wanted = ids["parent_run_id" if iteration is None else "run_id"]
    with failures():
        try:
            if client.get_run(wanted).info.lifecycle_stage == "active":
                return wanted
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        if replacement := _search(client, experiment, {SOURCE: wanted}):
            return replacement[0].info.run_id
        if iteration is None:
            return _create(client, experiment, "loop", {SOURCE: wanted})
        tags = {SOURCE: wanted, ITERATION: iteration, PARENT: str(parent)}
        return _create(client, experiment, f"iteration {iteration}", tags)


def _search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> list[MlflowRun]:
    quoted = {key: f'"{value}"' if "'" in value else f"'{value}'" for key, value in tags.items()}
    query = " and ".join(f"tags.`{key}` = {value}" for key, value in quoted.items())
    return list(client.search_runs([experiment], query, max_results=1000))


def _git(*arguments: str) -> str:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # DVC may be using git at this moment
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=30, env=environment)
    return done.stdout.strip()
