"""Data between a workspace and DVC's remote. ``python -m flows.pools.transfer pull data/codes runs/0/policy``

What is fetched is checked against its digest. DVC trusts its remote otherwise, and a damaged object would become the
input of a stage. A remote that fails is asked again; then one message names the cause.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows import waiting
from model.errors import SpeechAlignError
from tasks.common.secrets import masked
from tasks.common.stage import one_message

if TYPE_CHECKING:
    from dvc.repo import Repo

TRIES, PAUSE_SECONDS = 3, 2.0  # the pause doubles
_FULL = re.compile(r"No space left on device|disk is full|Disk quota exceeded", re.IGNORECASE)


class TransferError(SpeechAlignError):
    """DVC's remote did not take or give the data."""


def pull(paths: list[str]) -> None:
    """Fetch outputs that stages made elsewhere, check their digests, and lay them in the workspace.

    Raises:
        TransferError: the remote fails, lacks some of them or has damaged ones; or the disk is full.
    """
    if paths:
        _patiently("fetch", ", ".join(paths), lambda repo: repo.pull(paths, force=True))


def push(paths: list[str], run_cache: bool = False) -> None:
    """Copy outputs to the remote and, with ``run_cache``, the records of past runs.

    A file of a folder is stored with the whole folder. DVC would store it alone with the folder's list of files, and
    whoever finds that list takes all the others for stored, too.

    Raises:
        TransferError: the remote fails.
    """

    def store(repo: Repo) -> None:
        whole = {out.fs_path for path in paths for out in repo.find_outs_by_path(path, strict=False)}
        repo.push(sorted(whole), run_cache=run_cache)

    if paths:
        _patiently("store", ", ".join(paths), store)


def past_runs(stage: str) -> None:
    """Fetch the past run on the inputs that the stage has now, if there is one, so that DVC restores it.

    A remote may hold thousands of others; DVC itself would fetch them all.

    Raises:
        TransferError: the remote fails.
    """

    def fetch(repo: Repo) -> None:
        from dvc.exceptions import CollectCacheError
        from dvc.stage.cache import _can_hash, _get_stage_hash

        (found,) = repo.stage.collect(stage)
        if not all(dep.exists for dep in found.deps):
            return  # DVC says so when it runs the stage
        found.save_deps()
        if not _can_hash(found):
            return
        key = _get_stage_hash(found)
        remote = repo.cloud.get_remote_odb(None, "fetch --run-cache", hash_name="md5-dos2unix")
        remote.fs.fs.invalidate_cache()  # of folders that were seen before the push of another worker
        there, here = remote.fs.join(remote.path, "runs", key[:2], key), Path(repo.stage_cache._get_cache_dir(key))
        if remote.fs.exists(there):
            here.mkdir(parents=True, exist_ok=True)
            for file in remote.fs.find(there):
                remote.fs.get_file(file, str(here / remote.fs.name(file)))
        if past := repo.stage_cache._load(found):
            made = repo.stage_cache._create_stage(past, wdir=found.wdir)
            with contextlib.suppress(CollectCacheError):  # the data are gone: the stage runs again
                for objects in made.get_used_objs().values():
                    repo.cloud.pull(objects)

    _patiently("fetch", f"past runs of {stage}", fetch)


def disk_full(text: str, folder: Path) -> str | None:
    """Return what to do, where a message says that a disk is full; else None. What filled it may be gone already."""
    if not _FULL.search(text):
        return None
    usage = shutil.disk_usage(folder)
    return (
        f"the disk with {folder} was full: {usage.free / 1e6:.1f} of {usage.total / 1e6:.1f} MB are free now. "
        "Free some space or use another folder, then run again"
    )


def _patiently(verb: str, what: str, action: Callable[[Repo], object]) -> None:
    from dvc.config import NoRemoteError, RemoteConfigError
    from dvc.lock import LockError
    from dvc.repo import Repo

    for attempt in range(TRIES):
        with _errors() as said:
            try:
                with Repo(".", _wait_for_lock=True) as plain:
                    name = plain.config["core"].get("remote")
                if name is None:
                    raise NoRemoteError("DVC has no default remote")
                checked: dict[str, Any] = {"remote": {name: {"verify": True}}}

                def once(config: dict[str, Any] = checked) -> None:
                    with Repo(".", _wait_for_lock=True, config=config) as repo:
                        action(repo)

                waiting.patiently(once, LockError, waiting.holder_of)
                return
            except (NoRemoteError, RemoteConfigError) as error:
                raise TransferError(
                    f"cannot {verb} {what}: {error}. Stages on work pools exchange data through DVC's remote: "
                    "`dvc remote add --default storage s3://bucket/dvc`, and commit .dvc/config"
                ) from error
            except Exception as error:
                cause = _cause(error, said)
                if full := disk_full(cause, Path.cwd()):
                    raise TransferError(full) from error
                if attempt + 1 == TRIES:
                    raise TransferError(
                        f"cannot {verb} {what}: DVC's remote {name} was asked {TRIES} times; {masked(cause)}. Are its "
                        "address, bucket and credentials right on this machine? (docs/s3.md)"
                    ) from error
        time.sleep(PAUSE_SECONDS * 2**attempt)


def _cause(error: BaseException, said: list[str]) -> str:
    """Return why DVC failed: it logs the first cause, and raises an error that only counts."""
    from dvc.exceptions import CheckoutError

    if isinstance(error, CheckoutError) and not said:
        return f"it lacks {', '.join(error.target_infos)}, or has it with another checksum"
    lines = [*said, *(line.strip() for line in str(error).splitlines() if line.strip())]
    while (behind := error.__cause__ or error.__context__) is not None:
        error = behind
    return "; ".join(dict.fromkeys([*lines, *([f"{type(error).__name__}: {error}"] if error is not behind else [])]))


@contextlib.contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect what DVC logs as errors, with the exceptions behind them, and keep it from the screen."""
    said: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            said.append(f"{record.getMessage()}: {error}" if error else record.getMessage())

    handler = Collect(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(one, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [handler], False
    try:
        yield said
    finally:
        for one, handlers, propagate in before:
            one.handlers, one.propagate = handlers, propagate


def main(
    verb: Annotated[Literal["pull", "push"], typer.Argument()],
    paths: Annotated[list[str], typer.Argument(help="outputs of stages, or files in them")],
) -> None:
    """Exchange outputs of stages with DVC's remote."""
    with one_message():
        {"pull": pull, "push": push}[verb](paths)


if __name__ == "__main__":
    typer.run(main)
