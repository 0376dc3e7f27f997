"""Train an arm's own AR on a share of the train split. ``python -m study.sft --share 0.1``

The loop's stage ``tasks.policy`` runs in a folder of its own, in which the train split has so many utterances. Later
stages of the arm have all of it. The number of steps stays: epochs are as many times more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tasks.common import paths, runtime, schemas, yaml12
from tasks.common.files import DataError, read_table, write_table
from tasks.common.stage import failure, stage

FOLDER = Path("sft")


def prepare(folder: Path, share: float, seed: int) -> None:
    """Make the folder: everything is linked, but codes and settings are its own."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / paths.DATA).mkdir(parents=True)
    for path in [path for path in (*Path().iterdir(), *paths.DATA.iterdir()) if path not in _own(folder)]:
        (folder / path).symlink_to(path.resolve())
    (folder / paths.CODES).mkdir()
    for split in paths.SPLITS[1:]:
        (folder / paths.codes(split)).symlink_to(paths.codes(split).resolve())
    train = read_table(paths.codes("train"), schemas.CODES)
    write_table(folder / paths.codes("train"), part_of(train, share, seed), schemas.CODES)
    params = yaml12.loads(Path("params.yaml").read_text(encoding="utf-8"))
    params["policy"]["start"] = "train"
    params["sft_ar"]["epochs"] = round(params["sft_ar"]["epochs"] / share)
    (folder / "params.yaml").write_text(yaml12.dumps(params), encoding="utf-8")


def _own(folder: Path) -> set[Path]:
    return {folder, paths.DATA, paths.CODES, Path("params.yaml"), Path("runs")}


def part_of(rows: list[dict[str, Any]], share: float, seed: int) -> list[dict[str, Any]]:
    """Return a share of each speaker's utterances, two at least (a voice prompt is another utterance), in order."""
    rng = np.random.default_rng([seed, 10])
    kept: list[int] = []
    for speaker in dict.fromkeys(row["speaker"] for row in rows):
        members = [i for i, row in enumerate(rows) if row["speaker"] == speaker]
        kept += rng.permutation(members)[: max(2, round(share * len(members)))].tolist()
    return [rows[i] for i in sorted(kept)]


@stage
def main(share: Annotated[float, typer.Option(min=0.0, max=1.0, help="of the train utterances")] = 1.0) -> None:
    """Make iteration 0 of an arm whose SFT had less data."""
    params, _ = runtime.start()
    prepare(FOLDER, share, params.seed)
    done = subprocess.run(
        [sys.executable, "-m", "tasks.policy"], cwd=FOLDER, env=dict(os.environ), stderr=subprocess.PIPE, text=True
    )
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        raise DataError(f"tasks.policy in {FOLDER}: {failure(done.stderr.splitlines())}")
    paths.run("0").mkdir(parents=True, exist_ok=True)
    for made in (FOLDER / paths.run("0")).iterdir():
        shutil.copytree(made, paths.run("0") / made.name) if made.is_dir() else shutil.copy(made, paths.run("0"))
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    typer.run(main)
