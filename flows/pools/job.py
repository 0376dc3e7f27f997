"""What a worker is told: a commit, a stage of it, and what the stages before have made. Plain JSON, without secrets."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from model.errors import SpeechAlignError
from tasks.common import secrets

FLOW = "speechalign-stage"  # its deployment for the pool `gpu` is speechalign-stage/gpu
TRACKING = "MLFLOW_TRACKING_URI"


class NoCommitError(SpeechAlignError):
    """A worker could not clone what is in the workspace."""


class Job(BaseModel):
    """One stage for a worker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str  # address of the git repository, without credentials
    commit: str
    stage: str
    inputs: list[str]  # outputs of other stages to fetch
    lock: str  # JSON: entries of dvc.lock, of the stages that made them and of this one
    timeout: float | None = None  # seconds of the stage
    force: bool = False  # run it even if it is up to date
    tracking: str | None = None  # MLflow's server, unless the worker's environment names one

    @property
    def digest(self) -> str:
        """What tells a job from others: a run that is under way for the same one is waited for, not repeated."""
        text = json.dumps(self.model_dump(exclude={"timeout", "tracking"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def of(stage: str, inputs: list[str], entries: Mapping[str, Any], timeout: float | None, force: bool = False) -> Job:
    """Return the job that runs a stage of this workspace's commit.

    Raises:
        NoCommitError: there is no commit, or tracked files differ from it.
    """
    tracking = os.environ.get(TRACKING, "")
    return Job(
        repository=_repository(),
        commit=_commit(),
        stage=stage,
        inputs=inputs,
        lock=json.dumps(entries),
        timeout=timeout,
        force=force,
        tracking=tracking if tracking.startswith("http") and not secrets.holds_credentials(tracking) else None,
    )


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
        status = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock")
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoCommitError(
            "a stage that runs on a work pool is cloned from git, but this folder has no commit; "
            "`git init`, commit and push it, or take its pool out of dvc.yaml and compute.pools"
        ) from error
    if status:
        changed = ", ".join(line.split(maxsplit=1)[-1] for line in status.splitlines())
        raise NoCommitError(
            f"a worker clones commit {commit[:10]}, but the workspace differs in {changed}; commit and push first"
        )
    return commit


def _repository() -> str:
    """Return where workers clone from: SPEECHALIGN_REPOSITORY, or the remote ``origin``."""
    address = os.environ.get("SPEECHALIGN_REPOSITORY", "")
    try:
        address = address or _git("remote", "get-url", "origin")
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoCommitError(
            "a stage that runs on a work pool is cloned from the git remote `origin`, and there is none; "
            "`git remote add origin ADDRESS` and push, or set SPEECHALIGN_REPOSITORY"
        ) from error
    # Workers have credentials of their own: these would be kept by Prefect's server.
    return (
        secrets.address(address) if "://" in address else str(Path(address).resolve()) if _is_path(address) else address
    )


def _is_path(address: str) -> bool:
    return ":" not in address.partition("/")[0]  # otherwise git's host:path


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
