"""Run one arm of the study. ``python -m study.arm --name dpo``

The loop's stages run in ``study/.work/<name>``, a workspace with its own ``params.yaml`` and ``runs/``, with links to
what the main loop has made already. A stage that has finished there is not run again, so a stopped study goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from study.arms import RESULTS, Arm, load, merged
from tasks.common import digests, paths, schemas, tracking
from tasks.common.files import DataError, atomic_path, read_table, write_json, write_table
from tasks.common.params import load as load_params
from tasks.common.stage import failure, stage
from tasks.common.tracking.client import LOCAL_ARTIFACTS

WORK = Path("study/.work")
DONE = "done.json"  # the steps that have run in a workspace
SHARED = ("checkpoints", ".code", "bootstrap", "model", "tasks", "study")
# What the commands compute (tasks.code): this one's and those of the loop that an arm may run.
OWN_CODE, LOOP_CODE = "study/.code/study.arm.txt", ".code/{}.txt"
UNUSED = ("compute", "gap", "register")  # blocks of params.yaml that change no arm's results, the precision aside
KEPT = ("metrics.json", "utterances.parquet", "curve.csv")  # of each iteration


def steps_of(arm: Arm) -> list[list[str]]:
    """The stages to run, in order, as arguments of ``python -m``."""
    steps: list[list[str]] = []
    if arm.own == "corpus":
        steps += [["tasks.prepare"], ["tasks.extract"], ["tasks.texts"], ["tasks.policy"], ["tasks.nar"]]
    elif "texts" in arm.set:
        steps += [["tasks.texts"]]
    if arm.own == "sft":
        steps += [["tasks.policy"]]
    if arm.own != "nothing":
        steps += [["tasks.evaluate", "--iteration", "0"]]
    for k in range(arm.first, arm.last + 1):
        making = [] if arm.pairs == "main" and k == 1 else ["sample", "prefer"]
        steps += [[f"tasks.{name}", "--iteration", str(k)] for name in (*making, "align", "evaluate")]
    return steps


def links_of(arm: Arm) -> list[Path]:
    """What of the main loop, or of the arm in its place, the arm uses as it is."""
    if arm.own == "corpus":
        return []
    data = [paths.AUDIO, paths.CUTS, paths.CODES] if "texts" in arm.set else [paths.DATA]  # its own texts go there
    linked = [*data, paths.NAR, paths.run("0") / "nar_curve.csv"]
    if arm.own == "nothing":
        names = ("policy", "curve.csv", "pairs.parquet", *KEPT[:2])
        linked += [paths.run(str(k)) / name for k in range(arm.first) for name in names]
    if arm.pairs == "main":
        linked += [paths.samples("1"), paths.judgements("1"), *([paths.pairs("1")] if arm.share == 1 else [])]
    return linked


def code_of(arm: Arm) -> list[str]:
    """Return the files whose change makes the arm's workspace stale."""
    return [OWN_CODE, *sorted({LOOP_CODE.format(step[0]) for step in steps_of(arm)})]


def prepare_workspace(folder: Path, arm: Arm, params: dict[str, Any]) -> None:
    """Make the arm's workspace, or keep the one that is there if nothing it rests on has changed.

    Raises:
        DataError: the main loop, or the arm in its place, has not made what the arm starts from.
    """
    base = WORK / arm.base if arm.base else Path()
    links = {path: base / path for path in links_of(arm)}
    if missing := [str(path) for path in links.values() if not path.exists()]:
        first = f"speechalign study --targets arm@{arm.base}" if arm.base else "make demo"
        raise DataError(f"the arm starts from {missing}, which do not exist; run `{first}` first")
    basis = {
        "arm": arm.model_dump(),
        "params": {block: value for block, value in params.items() if block not in UNUSED},
        "inputs": {str(path): digests.md5(path) for path in links.values()},
        "precision": params["compute"]["precision"],
        "code": {file: digests.md5(Path(file)) for file in code_of(arm)},
    }
    note = folder / "basis.json"
    if note.is_file() and json.loads(note.read_text()) == json.loads(json.dumps(basis)):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, source in {**{Path(name): Path(name) for name in SHARED}, **links}.items():
        if source.exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(source.resolve())
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    if arm.share < 1:
        pairs = read_table(paths.pairs("1"), schemas.PAIRS)
        kept = np.random.default_rng(params["seed"]).permutation(len(pairs))[: max(1, round(arm.share * len(pairs)))]
        write_table(folder / paths.pairs("1"), [pairs[i] for i in sorted(kept)], schemas.PAIRS)
    write_json(note, basis)


def tracked(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the study's experiment in the project's own MLflow store, unless it names another.

    Steps run in the arm's workspace, and paths of the workspace must not be MLflow's: the experiment is made by
    whichever arm comes first and serves all of them, and a workspace is removed when what it rests on has changed.
    """
    own = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{Path('mlflow.db').resolve()}",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": Path(LOCAL_ARTIFACTS).absolute().as_uri(),
    }
    named = {name: environment.get(name) or value for name, value in own.items()}
    return {**environment, **named, "MLFLOW_EXPERIMENT_NAME": "speechalign-study"}


def run_steps(folder: Path, steps: list[list[str]], environment: dict[str, str]) -> None:
    """Run what has not run yet; each step that ends well is noted.

    Raises:
        DataError: a step failed, with its own message.
    """
    done_file = folder / DONE
    done: list[list[str]] = json.loads(done_file.read_text()) if done_file.is_file() else []
    for step in steps:
        if step in done:
            continue
        print(f"{folder.name}: {' '.join(step)}", flush=True)
        command = [sys.executable, "-m", *step]
        with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            said: deque[str] = deque(maxlen=50)
            for line in child.stderr:
                said.append(line.rstrip("\n"))
                print(said[-1], file=sys.stderr, flush=True)
        if child.returncode:
            reason = failure(list(said)) or f"exit status {child.returncode}"
            raise DataError(f"{' '.join(step)} in {folder}: {reason}\nFix this and run again to go on from there")
        done.append(step)
        write_json(done_file, done)


@stage
def main(name: Annotated[str, typer.Option(help="an arm of study/params.yaml")]) -> None:
    """Run one arm of the study and keep its results."""
    arms = load()
    if name not in arms:
        raise DataError(f"study/params.yaml has no arm {name!r}; it has {', '.join(arms)}")
    arm, folder = arms[name], WORK / name
    load_params()  # says what is wrong with params.yaml before the arm's changes hide it
    params = merged(arm, yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    prepare_workspace(folder, arm, params)
    os.environ.update(tracked(os.environ))
    before = str(arm.first - 1)
    if arm.own == "nothing" and not (folder / paths.tracking(before)).is_file():
        ids = tracking.start_loop(load_params(folder / "params.yaml"))  # its runs nest under a loop of the study's
        write_json(folder / paths.tracking(before), ids)
    run_steps(folder, steps_of(arm), {**os.environ, "PYTHONPATH": os.getcwd()})
    with atomic_path(RESULTS / name) as results:
        for k in range(0 if arm.own != "nothing" else arm.first, arm.last + 1):
            (results / str(k)).mkdir(parents=True)
            for file in KEPT:
                shutil.copy(folder / paths.run(str(k)) / file, results / str(k) / file)
    (folder / DONE).unlink()  # should DVC ask for this arm again, something has changed


if __name__ == "__main__":
    typer.run(main)
