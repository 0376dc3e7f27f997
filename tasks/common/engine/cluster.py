"""Workers on a Ray cluster (``compute.engine: ray``, ``compute.address``).

A worker may be on another machine, with another disk. It gets this checkout's code and the checkpoints' files from Ray,
and a shard holds all data that it needs: nothing is read from, or written to, a shared folder.
"""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import model
import tasks
from tasks.common.engine.backend import ATTEMPTS, Backend, WorkerError, compute, prepare
from tasks.common.params import Params, ParamsError

Files = dict[str, dict[str, bytes]]  # of each checkpoint that is a folder, by their paths in it
SECONDS_TO_CONNECT = 10.0
CODE = [str(Path(next(iter(package.__path__)))) for package in (model, tasks)]


class Cluster(Backend):
    """Ray's tasks. Ray starts a task again whose worker or machine is lost."""

    def __init__(self, params: Params, parts: Any, device: torch.device):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports nothing to anybody
        try:
            import ray
        except ImportError:
            raise ParamsError(
                "compute.engine is ray, but the package ray is not installed here; run: pip install 'speechalign[ray]'"
            ) from None
        self._ray, self._own = ray, not ray.is_initialized()
        address = params.compute.address
        if self._own:
            _check(address)
            options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
            code = {"py_modules": CODE, "excludes": ["__pycache__"]}
            try:
                ray.init(**options, runtime_env=code, logging_level="ERROR", log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                where = f"at {address}" if address else "on this machine"
                raise WorkerError(
                    f"there is no Ray {where} (compute.address), or it asks for a token (docs/engine.md): "
                    f"{_first_line(error)}"
                ) from error
        gpus = 1 if device.type == "cuda" else 0
        available = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 0))
        if not available:
            raise WorkerError(f"the Ray cluster has no {'GPU' if gpus else 'processor'} for a worker")
        self.count = available if params.compute.workers == "auto" else int(params.compute.workers)
        self._token, self._parts, self._device, self._seed = uuid.uuid4().hex, parts, device.type, params.seed
        self._files = ray.put(files_of(parts.folders))
        self._run = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS - 1)(run)

    def submit(self, work: Callable[..., Any], shard: Any) -> Any:
        # In a list, Ray does not fetch the files for every shard.
        return self._run.remote(self._token, self._parts, [self._files], self._device, self._seed, work, shard)

    def result(self, handle: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(handle)
        except errors.RayTaskError as error:
            raise error.cause from error  # the worker's own error, as if it came from here
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            raise WorkerError(
                f"a shard ended its worker {ATTEMPTS} times (was there enough memory?): {_first_line(error)}"
            ) from error
        except errors.RayError as error:
            raise WorkerError(f"the Ray cluster failed: {_first_line(error)}; run again") from error

    def forget(self, handle: Any) -> None:
        self._ray.cancel(handle, force=True)

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()


def _check(address: str | None) -> None:
    """Refuse an address where nobody answers: Ray itself would try for minutes.

    Raises:
        WorkerError: with the address.
    """
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdecimal() or "://" in host:  # none, or another form of Ray's
        return
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"there is no Ray at {address} (compute.address): {error}; start it with `ray start --head --port {port}`"
        ) from error


def files_of(names: Any) -> Files:
    """Return the files of those checkpoints that are folders here; others are published names."""
    folders = {name: Path(name) for name in names if Path(name).is_dir()}
    return {
        name: {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
        for name, folder in folders.items()
    }


def run(token: str, parts: Any, files: list[Any], device: str, seed: int, work: Callable[..., Any], shard: Any) -> Any:
    """Compute a shard in a Ray worker."""
    prepare(seed)
    return compute(token, lambda: _load(parts, files[0], device), work, shard)


def _load(parts: Any, files: Any, device: str) -> Any:
    """Write the checkpoints to a folder that lasts as long as loading them takes."""
    import ray

    with tempfile.TemporaryDirectory(prefix="speechalign-") as folder:
        places = {}
        for number, (name, content) in enumerate(ray.get(files).items()):
            places[name] = Path(folder) / str(number)
            for path, data in content.items():
                file = places[name] / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        return parts.load(lambda name: str(places.get(name, name)), torch.device(device))


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
