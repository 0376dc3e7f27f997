"""Train the start policy: ``python -m bootstrap.train_policy``.

The loop's own stages (``prepare``, ``extract``, ``sft_ar``, ``sft_nar``) run in ``<work>/loop`` with the loop's
``params.yaml`` and the changes of the block ``policy``, on the codec as it is shipped: in half precision. A stopped
training resumes from the state that these stages keep.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import typer

from model.codecs import encodec
from tasks.common import yaml12
from tasks.common.files import DataError, atomic_path, write_text
from tasks.common.params.overlay import overlay
from tasks.common.stage import one_message

STAGES = ("tasks.prepare", "tasks.extract", "tasks.policy", "tasks.nar")
LINKED = ("model", "tasks")
CODEC = Path("checkpoints/codec")  # in the loop's folder


def settings(params_file: Path) -> dict[str, Any]:
    """Return the loop's ``params.yaml`` with the changes of the block ``policy``."""
    params = yaml12.loads(Path("params.yaml").read_text(encoding="utf-8"))
    changes = yaml12.loads(params_file.read_text(encoding="utf-8"))["policy"]
    overlay(params, changes, f"{params_file}, block policy,")
    return params


def lay_out(loop: Path, params: dict[str, Any], codec: Path) -> None:
    """Write the folder that the stages run in: settings, links to the code, and the halved codec."""
    loop.mkdir(parents=True, exist_ok=True)
    write_text(loop / "params.yaml", yaml12.dumps(params))
    for name in LINKED:
        (loop / name).unlink(missing_ok=True)
        (loop / name).symlink_to(Path(name).resolve())
    with atomic_path(loop / CODEC) as folder:
        encodec.save(encodec.load_model(str(codec)), encodec.read_config(codec), folder, torch.float16)


def run(loop: Path) -> None:
    """Run the stages.

    Raises:
        DataError: one of them failed; it has said why.
    """
    own = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PYTHONPATH": os.getcwd()}
    for stage in STAGES:
        print(stage, flush=True)
        done = subprocess.run([sys.executable, "-m", stage], cwd=loop, env={**os.environ, **own}, check=False)
        if done.returncode:
            raise DataError(f"{stage} failed in {loop}; run this again to go on")


@one_message()
def main(
    params_file: Path = Path("bootstrap/params.yaml"), work: Path = Path("bootstrap/work"), codec: Path | None = None
) -> None:
    """Train AR and NAR of iteration 0 on the tokens of <work>/codec_final, or of the codec given."""
    params = settings(params_file)
    params["models"]["codec"] = str(CODEC)
    lay_out(work / "loop", params, codec or work / "codec_final")
    run(work / "loop")


if __name__ == "__main__":
    typer.run(main)
