"""Starting the processes that train a stage together, by torch's own launcher; inside them accelerate takes over."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping

import psutil
import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from model.errors import SpeechAlignError
from model.processes import count
from tasks.common import ranks
from tasks.common.params import Params, ParamsError

SECONDS_TO_END = 5  # between SIGTERM and SIGKILL
# They say of every failure, and of Ctrl-C, what the error says once more. The second has a level of its own.
NOISY = ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api")
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class WorkerError(SpeechAlignError):
    """A training process failed, so all of them ended."""


def train_together(params: Params, device: torch.device) -> None:
    """Go on in as many processes as ``compute.processes`` says: called by a stage that trains, before it loads data.

    With one process, and in each worker, this returns at once. Otherwise the workers run the stage's whole command.

    Raises:
        ranks.Done: the workers have done the stage.
        WorkerError: one of them failed or was killed; the message is its own.
        ParamsError: more processes than GPUs.
    """
    wanted = processes_of(params.compute.processes, device)
    if ranks.is_worker() or wanted == 1:
        return
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        raise WorkerError("compute.processes needs a stage that was started as `python -m tasks.NAME`")
    command = ["-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as logs, _environment(wanted), _own_signals():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=wanted,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=0,  # an error that a user can act on would only come again
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            shutdown_timeout=SECONDS_TO_END,
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            raise WorkerError(_reason(error.failures, wanted)) from None
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None
    raise ranks.Done


def part() -> None:
    """End every process but the first, which goes on by itself with what was trained."""
    if count() == 1:
        return
    distributed.destroy_process_group()
    if not ranks.is_first():
        raise SystemExit(0)


def processes_of(wanted: int | str, device: torch.device) -> int:
    """Return the number of processes that ``compute.processes`` means: ``auto`` is one per GPU, one on a CPU.

    Raises:
        ParamsError: more processes than GPUs.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if wanted == "auto":
        return max(gpus, 1)
    if gpus and int(wanted) > gpus:
        raise ParamsError(f"compute.processes is {wanted}, but PyTorch finds {gpus} GPU(s) here; set it to auto")
    return int(wanted)


def _reason(failures: Mapping[int, ProcessFailure], processes: int) -> str:
    """Return why they failed: by a signal, by a worker's own message, or by a bug, whose traceback is printed."""
    for rank, failure in failures.items():
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:
            hint = " (was there enough memory?)" if -failure.exitcode == signal.SIGKILL else ""
            return (
                f"training process {rank} of {processes} was killed by signal {-failure.exitcode}, so the others were "
                f"stopped{hint}; run again: the training resumes from its last saved state"
            )
    messages = [_message(failure) for failure in failures.values()]
    own = [message for message in messages if message and not message.startswith(ranks.LOST)]
    if own:
        return own[0]
    bugs = [rank for rank, message in zip(failures, messages, strict=True) if not message]
    if bugs:
        return f"training process {bugs[0]} of {processes} ended with an error; its traceback is above"
    return f"the training processes lost one another: {messages[0].removeprefix(ranks.LOST)}"


def _message(failure: ProcessFailure) -> str:
    """Return what the worker handed over; "" without that."""
    return failure.message["message"] if isinstance(failure.message, dict) else ""


@contextlib.contextmanager
def _environment(processes: int) -> Iterator[None]:
    """Give each worker its share of the threads, and gloo the loopback interface, which it may fail to find itself.

    C++ warns of parameters that DDP looks for in vain; only the NAR has steps that leave some out.
    """
    share = str(max(1, torch.get_num_threads() // processes))
    wanted = {"SPEECHALIGN_THREADS": share, "OMP_NUM_THREADS": share, "TORCH_CPP_LOG_LEVEL": "ERROR"}
    loopback = [name for name, on in psutil.net_if_addrs().items() if any(a.address == "127.0.0.1" for a in on)]
    if loopback and "GLOO_SOCKET_IFNAME" not in os.environ:
        wanted["GLOO_SOCKET_IFNAME"] = loopback[0]
    before = dict(os.environ)
    os.environ.update(wanted)
    levels = {noisy: noisy.level for noisy in map(logging.getLogger, NOISY)}
    for noisy in levels:
        noisy.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for noisy, level in levels.items():
            noisy.setLevel(level)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Put back this process's signal handlers, which the launcher replaces."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
