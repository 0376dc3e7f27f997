"""Kill and break a loop for some minutes, and check what must hold: ``python -m benchmarks.reliability --minutes 10``.

docs/reliability.md says what is killed, what is broken, and what must hold. By default the loop is the one of
``benchmarks/tiny_loop.py``, whose stages take seconds; ``--smoke`` takes the real stages on their smallest settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import pyarrow.parquet as pq
import typer

from benchmarks.tiny_loop import OWN_IDS, PIPELINE
from benchmarks.workspace import lay_out
from profiles import __main__ as profiles
from tasks.common import yaml12

REPOSITORY = Path.cwd()
KILLS = ("Ctrl-C", "SIGTERM", "kill -9 of the run", "kill -9 of a stage", "kill -9 of DVC", "kill -9 of the server")
BREAKS = ("leftover .tmp", "output deleted", "output cut short", "dead holder of DVC's lock", "half-made mlflow.db")
SECONDS_TO_END = 10  # after Ctrl-C
SECONDS_TO_LEAVE = 20  # for the processes of a run that was killed


class Campaign:
    """One workspace, what was done to it, and what did not hold."""

    def __init__(self, folder: Path, smoke: bool, seed: int):
        self.folder, self.smoke, self.random = folder, smoke, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self.reference: dict[str, str] = {}
        self.seconds = 60.0  # of an undisturbed run

    def prepare(self) -> None:
        """Lay the workspace out and run it once undisturbed, for the digests to compare with."""
        if self.smoke:
            lay_out(self.folder, "smoke", 1)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "params.yaml").write_text(profiles.merged("smoke")[0], encoding="utf-8")
            (self.folder / "dvc.yaml").write_text(yaml12.dumps(PIPELINE), encoding="utf-8")
            shutil.copy(".dvcignore", self.folder)
            subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=self.folder, check=True)
        started = time.monotonic()
        if self.finish():
            raise SystemExit(f"the undisturbed run failed; {self.folder / 'log.txt'} says why")
        self.seconds = time.monotonic() - started
        self.reference = self.digests()

    def start(self) -> subprocess.Popen[bytes]:
        """Start a run as a shell does, as the leader of a process group."""
        place = str(self.folder.resolve()) if self.smoke else str(REPOSITORY)
        environment = {
            **os.environ,
            "PYTHONPATH": place,
            "PREFECT_API_URL": "",
            "PREFECT_HOME": f"{self.folder}/.prefect",
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows", "run"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: (os.setsid(), signal.signal(signal.SIGINT, signal.SIG_DFL)),
            )

    def finish(self) -> int:
        """Run to the end."""
        return self.start().wait()

    def digests(self) -> dict[str, str]:
        """Return what ``dvc.lock`` says of the outputs whose bytes are the same in every run."""
        lock = yaml12.loads((self.folder / "dvc.lock").read_text(encoding="utf-8"))
        outs = [out for one in lock["stages"].values() for out in one.get("outs", [])]
        own = {path for path in (out["path"] for out in outs) if self.smoke and _has_ids(path)} | OWN_IDS
        return {out["path"]: out["md5"] for out in outs if out["path"] not in own}

    def disturb(self) -> None:
        """Start afresh, let it run for a while, and end it in one of the ways."""
        for name in ("dvc.lock", "data", "runs", "reports"):
            path = self.folder / name
            if self.random.random() < 0.5:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)  # or nothing would run again
        if self.random.random() < 0.3:
            (self.folder / "mlflow.db").unlink(missing_ok=True)
        how = self.random.choice(KILLS)
        run = self.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(self.random.uniform(0, self.seconds))
        if run.poll() is not None:
            self.expect(run.returncode == 0, f"an undisturbed run ended with {run.returncode}")
            self.done["ended before the kill"] += 1
            return
        below = psutil.Process(run.pid).children(recursive=True)
        if victim := self.victim(how, run.pid, below):
            self.done[how] += 1
            victim()
        else:
            how = "kill -9 of the run"
            self.done[how] += 1
            run.kill()
        self.ended(how, run, below)
        self.whole()

    def victim(self, how: str, run: int, below: list[psutil.Process]):
        """Return the act; None where its victim does not run at this moment."""
        if how == "Ctrl-C":
            return lambda: os.killpg(run, signal.SIGINT)
        if how in ("SIGTERM", "kill -9 of the run"):
            return lambda: os.kill(run, signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
        words = {"stage": ("benchmarks.tiny_loop", "tasks."), "DVC": ("dvc",), "server": ("uvicorn",)}[how.split()[-1]]
        found = []
        for one in below:
            with contextlib.suppress(psutil.Error):
                line = one.cmdline()
                if "-m" in line and line[line.index("-m") + 1].startswith(words):
                    found.append(one)
        return found[0].kill if found else None

    def ended(self, how: str, run: subprocess.Popen[bytes], below: list[psutil.Process]) -> None:
        """Check how a disturbed run ends, and that it leaves no process."""
        started = time.monotonic()
        try:
            code = run.wait(SECONDS_TO_END + 5 if how in ("Ctrl-C", "SIGTERM") else 10 * self.seconds)
        except subprocess.TimeoutExpired:
            self.expect(False, f"{how}: still running after {time.monotonic() - started:.0f} s")
            run.kill()
            code = run.wait()
        if how in ("Ctrl-C", "SIGTERM"):
            self.expect(code == 130, f"{how}: exit status {code}")
        if how == "kill -9 of the server":
            self.expect(code in (0, 1), f"{how}: exit status {code}")  # 1: before the flow has begun
        deadline = time.monotonic() + SECONDS_TO_LEAVE
        while (left := [one for one in below if _runs(one)]) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.expect(not left, f"{how}: left {[one.pid for one in left]}")
        for one in left:
            one.kill()

    def whole(self) -> None:
        """Check that every file under its own name is whole."""
        for file in (path for part in ("data", "runs", "reports") for path in (self.folder / part).rglob("*")):
            if not file.is_file() or any(name.endswith(".tmp") for name in file.parts) or ".state" in file.parts:
                continue
            try:
                readers = {".json": lambda f: json.loads(f.read_text()), ".parquet": pq.read_table, ".npy": np.load}
                readers.get(file.suffix, lambda f: None)(file)
            except (ValueError, OSError) as error:
                self.expect(False, f"{file} is half-written: {error}")
        database = self.folder / "mlflow.db"
        if database.exists():
            with contextlib.closing(sqlite3.connect(database)) as opened:
                found = opened.execute("PRAGMA quick_check(1)").fetchone()[0]
                tables = {row[0] for row in opened.execute("SELECT name FROM sqlite_master")}
            self.expect(found == "ok" and "alembic_version" in tables, f"mlflow.db is not whole: {found}")

    def damage(self) -> None:
        """Break something, as a crash of the machine or a hand might."""
        what = self.random.choice(BREAKS)
        files = [path for path in (self.folder / "runs").rglob("*") if path.is_file() and ".state" not in path.parts]
        if what == "leftover .tmp":
            (self.folder / "reports").mkdir(exist_ok=True)
            (self.folder / "reports/.tiny.json.tmp").write_text("{")
        elif what in ("output deleted", "output cut short") and files:
            file = self.random.choice(files)
            file.unlink() if "deleted" in what else file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif what.startswith("dead"):
            held = {"write": {str(self.folder / "runs"): {"pid": 2**22 - 1, "cmd": "dvc repro"}}}
            (self.folder / ".dvc/tmp/rwlock").write_text(json.dumps(held))
        elif (database := self.folder / "mlflow.db").exists():
            database.unlink()
            with contextlib.closing(sqlite3.connect(database)) as opened, opened:
                opened.execute("CREATE TABLE runs (run_uuid VARCHAR(32))")
            (self.folder / "dvc.lock").unlink(missing_ok=True)  # or no stage would open it
            shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)
        self.done[what] += 1

    def recover(self) -> None:
        """Run to the end, and compare with the undisturbed run."""
        code = self.finish()
        self.expect(code == 0, f"a run after kills ended with {code}; see log.txt")
        if code == 0:
            self.done["runs compared"] += 1
            self.expect(self.digests() == self.reference, "outputs differ from the undisturbed run's")
            self.whole()

    def expect(self, holds: bool, fault: str) -> None:
        """Note a fault."""
        if not holds:
            print(f"FAULT: {fault}", flush=True)
            self.faults.append(fault)


def _has_ids(path: str) -> bool:
    """Whether an output of the real loop names runs of MLflow, times or the machine."""
    return path.endswith(("mlflow.json", "metrics.json", "index.html", "registration.json", "result.json", "gap.json"))


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def main(
    minutes: Annotated[float, typer.Option(min=0.1, help="how long kills go on")] = 10.0,
    seed: Annotated[int, typer.Option(help="of the order and moments of kills")] = 1,
    smoke: Annotated[bool, typer.Option(help="the real stages on their smallest settings")] = False,
    folder: Annotated[Path | None, typer.Option(help="where it runs and stays; without it a temporary one")] = None,
) -> None:
    """Kill and break a loop, and print what was done and what did not hold."""
    place = folder or Path(tempfile.mkdtemp(prefix="speechalign-"))
    campaign = Campaign(place.resolve(), smoke, seed)
    campaign.prepare()
    print(f"an undisturbed run takes {campaign.seconds:.0f} s", flush=True)
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        for _ in range(campaign.random.randint(1, 4)):
            campaign.disturb()
        if campaign.random.random() < 0.5:
            campaign.damage()
        campaign.recover()
    for what, count in sorted(campaign.done.items()):
        print(f"{count:5d}  {what}")
    print(f"{len(campaign.faults)} faults")
    if campaign.faults:
        raise SystemExit(f"{place} is as it was then")
    if folder is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    typer.run(main)
