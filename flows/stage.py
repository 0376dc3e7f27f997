"""One stage: ``dvc repro --single-item`` in a process of its own, watched line by line."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows import QUIET, dvc_lock, process, waiting
from tasks.common import yaml12
from tasks.common.secrets import masked
from tasks.common.stage import failure

THREADS = "SPEECHALIGN_THREADS"  # overrides compute.threads, for stages that share the machine

# How often an idle thread looks for work before it sleeps. At the usual 300,000, two trainings of two threads each take
# eleven times as long on two cores as one alone. At this, they take 2.4 times as long, and one alone 8 % longer.
SPINS = "10000"

# What became of a stage.
RAN = "ran"
RESTORED = "restored"  # its outputs came back from DVC's cache: the same work was done before
UNCHANGED = "unchanged"
SKIPPED = "skipped"
FAILED = "failed"

_SAYS = {
    RAN: "Running stage '{}':",
    RESTORED: "Stage '{}' is cached - skipping run, checking out outputs",
    UNCHANGED: "Stage '{}' didn't change, skipping",
}
_LOCKED = re.compile(r"is busy, it is being blocked by|Unable to acquire lock")
_HINTS = {9: "; was there enough memory?"}
# Advice that DVC repeats after every stage.
_NOISE = re.compile(
    r"Updating lock file|Generating lock file|Use `dvc push`|To track the changes|git add |To enable auto"
    r"|core\.autostage|pipelines are up to date"
)


@dataclass(frozen=True)
class Outcome:
    how: str
    seconds: float = 0.0
    message: str = ""


@dataclass
class _Output:
    """Output of DVC and the stage, sorted line by line."""

    stage: str
    show: Callable[[str], None]
    how: str | None = None
    errors: list[str] = field(default_factory=list)  # the stage's standard error
    dvc_errors: list[str] = field(default_factory=list)

    def line(self, stream: str, text: str) -> None:
        text = masked(text)  # Prefect's server keeps it
        for how, says in _SAYS.items():
            if text == says.format(self.stage):
                self.how = how
                return
        if stream == "stderr" and (text.startswith("ERROR: ") or self.dvc_errors):
            self.dvc_errors.append(text.removeprefix("ERROR: "))
            return
        if stream == "stderr" and not text.startswith("WARNING: "):  # DVC's, such as of a process killed long ago
            self.errors.append(text)
        if not _NOISE.search(text):
            self.show(text)

    def reason(self, code: int) -> str:
        """Return why it failed, by the stage's own message if there is one.

        Args:
            code: DVC's exit status; a negative one is the signal that killed DVC itself.
        """
        if code < 0:
            return f"DVC was killed by signal {-code}{_HINTS.get(-code, '')}"
        exited = re.search(r"exited with (-?\d+)", " ".join(self.dvc_errors))
        if exited and int(exited[1]) < 0:  # its last message is no explanation
            return f"killed by signal {exited[1][1:]}{_HINTS.get(-int(exited[1]), '')}"
        return failure(self.errors) or "\n".join(self.dvc_errors) or "DVC failed and did not say why"


def repro(stage: str, threads: int, timeout: float | None, show: Callable[[str], None], force: bool = False) -> Outcome:
    """Bring one stage (its address) up to date; what it depends on must be.

    Another DVC process may hold the stage's files: it is waited for, and named. With ``force`` the stage runs even if
    it is up to date.

    Raises:
        process.StoppedError: the flow ended meanwhile.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    command += ["--force"] if force else []
    started = time.monotonic()

    def attempt() -> Outcome:
        output = _Output(stage, show)
        dvc_lock.empty_if_torn()  # a stage that was killed a moment ago may have left it so
        try:
            code = process.run(command, _environment(threads), output.line, timeout)
        except process.TimeLimitError as error:
            return Outcome(FAILED, time.monotonic() - started, str(error))
        seconds = time.monotonic() - started
        if code == 0:
            # Only an unknown wording of DVC leaves this unset; having run is then the safe reading.
            return Outcome(output.how or RAN, seconds)
        said = "\n".join(output.dvc_errors)
        if code > 0 and output.how != RAN and _LOCKED.search(said):
            raise _HeldError(said)
        return Outcome(FAILED, seconds, output.reason(code))

    return waiting.patiently(attempt, _HeldError, waiting.holder_of, show)


class _HeldError(Exception):
    """Another DVC process holds the stage's files."""


def _environment(threads: int) -> dict[str, str]:
    # Stages say `python -m tasks...`: that must be this Python, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    quiet = {**QUIET, "PYTHONWARNINGS": "ignore::FutureWarning"}
    # NumPy's and scikit-learn's threads count too: a stage that spins on a core which another works on slows both.
    share = dict.fromkeys((THREADS, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    quiet["GOMP_SPINCOUNT"] = SPINS
    return {**quiet, **os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **share}


def machine_threads() -> int:
    """``compute.threads``, which the stages that run at once share."""
    try:
        return max(int(yaml12.loads(Path("params.yaml").read_text(encoding="utf-8"))["compute"]["threads"]), 1)
    except (OSError, LookupError, TypeError, ValueError):
        return os.cpu_count() or 1  # the stages say what is wrong with params.yaml
