"""Rounds of kills, each round with a run to the end that is compared with an undisturbed one."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter

from benchmarks.reliability import checks
from benchmarks.reliability.damage import BREAKS, damage, forget
from benchmarks.reliability.kills import CTRL_C, KINDS, SIGTERM, Kind, strike
from benchmarks.reliability.workspace import DVC, FLOW, Run, Workspace
from flows.dvc_lock import empty_if_torn
from tasks.common import yaml12

KILLS_PER_ROUND = 5
EARLIEST = 0.1  # seconds of a kill, from the moment when its victim is there
LATEST = {False: 4.0, True: 10.0}  # without and with the real stages, whose imports alone take seconds
SECONDS_TO_END = 10.0  # after Ctrl-C and SIGTERM
SECONDS_TO_LEAVE = 20.0  # for the processes of a run that was killed
QUIET = 40.0  # seconds of an undisturbed run on a quiet core; on a busy one all limits are that much longer
LONGEST = 1800.0  # seconds of a run, on a busy machine


class Campaign:
    """What was done to a workspace, and what did not hold."""

    def __init__(self, workspace: Workspace, seed: int):
        self.workspace, self.random = workspace, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.kills = 0
        self.faults: list[str] = []
        self._slower = 1.0  # than a quiet machine
        self._digests: dict[str, str] = {}
        self._contents: dict[str, str] = {}

    def undisturbed(self) -> float:
        """Run once to the end, for the bytes to compare with; return the seconds that it takes.

        Raises:
            SystemExit: that failed already.
        """
        started = time.monotonic()
        if self.workspace.start(FLOW).process.wait(LONGEST):
            raise SystemExit(f"the undisturbed run failed; {self.workspace.log} says why")
        folder = self.workspace.folder
        self._digests, self._contents = checks.digests(folder), checks.contents(folder)
        seconds = time.monotonic() - started
        self._slower = 1.0 if self.workspace.smoke else max(1.0, seconds / QUIET)
        return seconds

    def round(self, most: int) -> None:
        """Kill some runs, break something in every second round, and run to the end; no more than ``most`` kills."""
        for _ in range(min(KILLS_PER_ROUND, most - self.kills)):
            self._disturb(self.random.choices(KINDS, [kind.weight for kind in KINDS])[0])
        what = self.random.choice(BREAKS)
        if self.random.random() < 0.5 and damage(what, self.workspace.folder, self.random):
            self.done[f"broken: {what}"] += 1
        self._recover()

    def _disturb(self, kind: Kind) -> None:
        """Make some stages stale, let a run begin, and kill a part of it."""
        self._make_stale()
        run = self._start(kind.command, on_server=kind.on_server)
        latest = LATEST[self.workspace.smoke]
        begun = self.random.random() < 0.7  # or while Prefect and DVC start
        if not strike(kind, run, self.workspace, self.random.uniform(EARLIEST, latest), begun):
            self._expect(run.process.returncode == 0, f"an undisturbed run ended with {run.process.returncode}")
            self.done["ended before the kill"] += 1
            return
        self.done[str(kind)] += 1
        self.kills += 1
        self._ends(kind, run)
        self._holds(str(kind))
        print(f"{self.kills}: {kind}; exit status {run.process.returncode}", flush=True)

    def _start(self, command: tuple[str, ...], *, on_server: bool = False) -> Run:
        # As `make repro` does; a flow does it by itself.
        if command == DVC and empty_if_torn(self.workspace.folder):
            self.done["DVC's own list of files in use was torn, and emptied"] += 1
        return self.workspace.start(command, on_server=on_server)

    def _make_stale(self) -> None:
        """Let DVC run some of the stages again, or all of them; now and then begin without MLflow's database."""
        folder = self.workspace.folder
        lock = folder / "dvc.lock"
        shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)  # or nothing would run again
        if self.random.random() < 0.1:
            (folder / "mlflow.db").unlink(missing_ok=True)
            forget(folder)
        if not lock.exists():
            return
        if self.random.random() < 0.3:
            forget(folder)
            return
        content = yaml12.loads(lock.read_text(encoding="utf-8"))
        stages = content["stages"]
        for name in list(stages):
            if self.random.random() < 0.6:
                del stages[name]
        lock.write_text(yaml12.dumps(content), encoding="utf-8")

    def _ends(self, kind: Kind, run: Run) -> None:
        """Check how a disturbed run ends, and that it leaves no process."""
        polite = kind.how in (CTRL_C, SIGTERM)
        limit = SECONDS_TO_END * self._slower if polite else LONGEST
        try:
            code = run.process.wait(limit)
        except subprocess.TimeoutExpired:
            self._expect(False, f"{kind}: still running after {limit:.0f} s")
            run.process.kill()
            code = run.process.wait()
        if polite and kind.command == FLOW:
            self._expect(code == 130, f"{kind}: exit status {code}")
        if kind.goes_on and not kind.on_server:
            self._expect(code in (0, 1), f"{kind}: exit status {code}")  # 1: one message, before the flow has begun
        deadline = time.monotonic() + SECONDS_TO_LEAVE * self._slower
        while (left := run.members()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._expect(not left, f"{kind}: left {[process.cmdline() for process in left]}")
        for process in left:
            process.kill()

    def _holds(self, when: str) -> None:
        for fault in checks.faults(self.workspace.folder, self._contents):
            self._expect(False, f"{when}: {fault}")

    def _recover(self) -> None:
        """Run to the end, and compare with the undisturbed run."""
        command = self.random.choices([DVC, FLOW], [7, 1])[0]
        try:
            code = self._start(command).process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self._expect(False, f"a run after kills takes more than {LONGEST:.0f} s; see {self.workspace.log}")
            return
        self._expect(code == 0, f"a run after kills ended with {code}; see {self.workspace.log}")
        if code == 0:
            self.done["runs to the end, compared"] += 1
            same = checks.digests(self.workspace.folder) == self._digests
            self._expect(same, "dvc.lock has other digests than the undisturbed run's")
            self._holds("after a run to the end")

    def _expect(self, holds: bool, fault: str) -> None:
        """Note a fault."""
        if not holds:
            print(f"FAULT: {fault}", flush=True)
            self.faults.append(fault)
