"""Run one arm of the study on one seed. ``python -m study.arm rejection-17``

The loop's stages run in ``study/.work/<name>/<seed>``, a workspace with its own ``params.yaml`` and ``runs/``, with
links to what the loop of that seed has made already. A stage that has finished there is not run again, so a stopped
study goes on. Each arm uses one thread: two arms fill two cores.
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

import typer

from study.arms import FILE, Arm, load, merged
from tasks.common import digests, paths, schemas, tracking, yaml12
from tasks.common.files import DataError, atomic_path, read_table, write_json
from tasks.common.params import load as load_params
from tasks.common.stage import failure, stage
from tasks.common.tracking import place

WORK = Path("study/.work")
DONE = "done.json"  # the steps that have run in a workspace
BASIS = "basis.json"  # all that its results rest on
SHARED = ("checkpoints", ".code", "model", "tasks", "study")
# What the commands compute (tasks.code): the study's own and those of the loop.
OWN_CODE, LOOP_CODE = "study/.code/{}.txt", ".code/{}.txt"
UNUSED = ("compute", "gap", "register")  # blocks of params.yaml that change no arm's results, the precision aside
KEPT = ("metrics.json", "utterances.parquet", "curve.csv")  # of each iteration; an adopted policy has no curve
# Of a loop's iterations, what an arm makes itself.
NOT_SHARED = ("mlflow.json", "audio", ".state")
ONE_THREAD = dict.fromkeys(("SPEECHALIGN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def steps_of(arm: Arm, pairs: int = 1) -> list[list[str]]:
    """The stages to run, in order, as arguments of ``python -m``; ``pairs``: how many the loop's iteration has."""
    steps: list[list[str]] = []
    if arm.shares == "nothing":
        steps += [["tasks.prepare"], ["tasks.extract"], ["tasks.texts"], ["tasks.policy"], ["tasks.nar"]]
    if arm.shares == "data":
        steps += [["study.sft", "--share", f"{arm.sft_share:g}"]]
    if arm.shares != "nothing" and "texts" in arm.set:
        steps += [["tasks.texts"]]
    if arm.first == 0:
        steps += [["tasks.evaluate", "--iteration", "0"]]
    for k in range(max(arm.first, 1), arm.last + 1):
        making = {"samples": ["prefer"], "pairs": []}.get(arm.shares if k == arm.first else "", ["sample", "prefer"])
        for name in (*making, "align", "evaluate"):
            steps += [[f"tasks.{name}", "--iteration", str(k)]]
            if name == "prefer" and k == arm.first:
                steps[-1] += ["--judged"] if arm.shares == "samples" else []
                steps += _choosing(arm, pairs)
    return steps


def _choosing(arm: Arm, pairs: int) -> list[list[str]]:
    """The step that makes the arm's pairs comparable, if it needs one."""
    number = ["--number", str(pairs)] if arm.as_many_pairs else []
    if not number and arm.keep == "all":
        return []
    return [["study.pairs", "--iteration", str(arm.first), "--keep", arm.keep, *number]]


def workspace(name: str, seed: int) -> Path:
    return WORK / name / str(seed)


def links_of(arm: Arm, base: Path) -> list[Path]:
    """Return what the arm uses of the workspace ``base`` as it is, relative to it.

    Raises:
        DataError: it has not been made.
    """
    if arm.shares == "nothing":
        return []
    made = [paths.metrics(str(max(arm.first - 1, 0)))]
    ready = [make(str(arm.first)) for make in (paths.samples, paths.judgements, paths.pairs)]
    shared = {"samples": ready[:2], "pairs": ready}.get(arm.shares, [])
    if missing := [str(base / path) for path in (*made, *shared) if not (base / path).is_file()]:
        raise DataError(f"the arm starts from {missing}, which do not exist; remove study/results and run the study")
    own = {paths.TEXTS.name} if "texts" in arm.set else set()
    links = [paths.DATA / path.name for path in sorted((base / paths.DATA).iterdir()) if path.name not in own]
    if arm.shares == "data":
        return [*links, *_of_run(base, "0", prefix=paths.NAR.name)]  # the NAR, its curve, where it came from
    return [*links, *(path for k in range(arm.first) for path in _of_run(base, str(k))), *shared]


def _of_run(base: Path, iteration: str, prefix: str = "") -> list[Path]:
    found = sorted(path.name for path in (base / paths.run(iteration)).iterdir())
    return [paths.run(iteration) / name for name in found if name not in NOT_SHARED and name.startswith(prefix)]


def code_of(arm: Arm) -> list[str]:
    """Return the files whose change makes the arm's workspace stale."""
    commands = {"study.arm", *(step[0] for step in steps_of(arm))}
    return sorted((OWN_CODE if name.startswith("study.") else LOOP_CODE).format(name) for name in commands)


def prepare_workspace(folder: Path, arm: Arm, params: dict[str, Any], base: Path, pairs: int = 0) -> None:
    """Make the arm's workspace, or keep the one that is there if nothing it rests on has changed.

    Args:
        base: workspace of the arm that this one starts from. pairs: how many it shall have; 0: as many as there are.
    Raises:
        DataError: the arm at ``base`` has not made what this one starts from.
    """
    links = {path: base / path for path in links_of(arm, base)}
    basis = {
        "arm": arm.model_dump(),
        "params": {block: value for block, value in params.items() if block not in UNUSED},
        "pairs": pairs,
        "inputs": {str(path): digests.md5(path) for path in (Path("checkpoints"), *links.values())},
        "precision": params["compute"]["precision"],
        "code": {file: digests.md5(Path(file)) for file in code_of(arm)},
    }
    note = folder / BASIS
    if note.is_file() and json.loads(note.read_text()) == json.loads(json.dumps(basis)):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    corpus = Path(params["prepare"]["path"] or "")
    shared = [*SHARED, *([] if corpus.is_absolute() else corpus.parts[:1])]
    for path, source in {**{Path(name): Path(name) for name in shared}, **links}.items():
        if source.exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(source.resolve())
    (folder / "params.yaml").write_text(yaml12.dumps(params), encoding="utf-8")
    write_json(note, basis)


def tracked(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` with the study's experiment in the project's own MLflow store, unless it names another.

    Steps run in the arm's workspace, and paths of the workspace must not be MLflow's: the experiment is made by
    whichever arm comes first and serves all of them, and a workspace is removed when what it rests on has changed.
    """
    own = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place.project() / 'mlflow.db'}",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": place.artifacts(),
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
        print(f"{folder}: {' '.join(step)}", flush=True)
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


def chosen(which: str, arms: Mapping[str, Arm]) -> tuple[str, int]:
    """Return an arm's name and seed from ``rejection-17``, or from DVC's name of the stage (``arm@rejection-17``).

    Raises:
        DataError: there is no such arm, or no seed.
    """
    group, _, rest = which.rpartition(":")[2].rpartition("@")
    name, _, seed = rest.rpartition("-")
    name = name or group  # loop@17
    if name not in arms or not seed.isdecimal():
        raise DataError(
            f"expected an arm of {FILE} and a seed (rejection-17), found {which!r}; it has {', '.join(arms)}"
        )
    return name, int(seed)


@stage
def main(arm_and_seed: Annotated[str, typer.Argument(metavar="ARM-SEED", help="such as rejection-17")]) -> None:
    """Run one arm of the study on one seed and keep its results."""
    study = load()
    arms = study.by_name
    name, seed = chosen(arm_and_seed, arms)
    arm, folder, base = arms[name], workspace(name, seed), workspace(arms[name].after, seed)
    load_params()  # says what is wrong with params.yaml before the arm's changes hide it
    params = merged(arm, yaml12.loads(Path("params.yaml").read_text(encoding="utf-8")), study.common, seed)
    fresh = base / paths.pairs(str(arm.first))
    pairs = len(read_table(fresh, schemas.PAIRS)) if arm.as_many_pairs else 0
    prepare_workspace(folder, arm, params, base, pairs)
    os.environ.update(tracked(os.environ))
    before = str(max(arm.first - 1, 0))
    if arm.first and not (folder / paths.tracking(before)).is_file():
        ids = tracking.start_loop(load_params(folder / "params.yaml"))  # its runs nest under a loop of the study's
        write_json(folder / paths.tracking(before), ids)
    run_steps(folder, steps_of(arm, pairs), {**os.environ, **ONE_THREAD, "PYTHONPATH": os.getcwd()})
    with atomic_path(study.results(name, seed)) as results:
        for k in range(arm.first, arm.last + 1):
            (results / str(k)).mkdir(parents=True)
            for file in KEPT:
                if (made := folder / paths.run(str(k)) / file).is_file():
                    shutil.copy(made, results / str(k) / file)
        shutil.copy(folder / BASIS, results / BASIS)  # arms of this seed depend on it
    (folder / DONE).unlink()  # should DVC ask for this arm again, something has changed


if __name__ == "__main__":
    typer.run(main)
