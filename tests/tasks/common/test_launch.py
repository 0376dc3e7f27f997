"""A stage with several processes, started as a person starts it: one result, one message, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

from tasks.common.launch import processes_of
from tasks.common.params import ParamsError
from tests.conftest import REPOSITORY

STAGE = """
import os, sys, time
from pathlib import Path
import numpy as np
import torch
from model.batch import Batch
from model.errors import SpeechAlignError
from model.processes import micro_batches
from model.training import Optimization, fit
from tasks.common import params, ranks
from tasks.common.launch import part, train_together
from tasks.common.progress import Bar
from tasks.common.stage import stage

PAUSE, FAULT = float(sys.argv[1]), sys.argv[2]

@stage
def main():
    loaded = params.load()
    train_together(loaded, torch.device("cpu"))
    model = torch.nn.Linear(4, 1)
    torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)

    def build(rows):
        return Batch(ids=list("abcdef")[:len(rows)], weight=float(len(rows)), x=torch.stack(list(rows)))

    def batches(step):
        return micro_batches(list(torch.randn(6, 4, generator=torch.Generator().manual_seed(step))), 2, build)

    def loss(model, batch):
        if FAULT == "message" and not ranks.is_first():
            raise SpeechAlignError("nothing to learn; add data")
        if FAULT == "bug" and not ranks.is_first():
            raise IndexError("a bug")
        return (model(batch["x"])[:, 0] - batch["x"].sum(1)).square().sum(), {}

    with Bar("toy", 20) as bar:
        def on_step(step, metrics):
            bar.advance()
            Path(f"{step}.{os.environ.get('RANK', 0)}.step").write_text(str(os.getpid()))
            time.sleep(PAUSE)
        fit(model, batches, loss, Optimization(lr=1e-2, steps=20), seed=1, cpu=True, on_step=on_step,
            state_file=Path("toy.pt"), save_every_seconds=0.0, shard=loaded.compute.shard)
    part()
    assert not Path("weights.npy").exists(), "two processes write"
    np.save("weights.npy", torch.cat([p.detach().flatten() for p in model.parameters()]).numpy())

main()
"""


def start(
    folder: Path, processes: int, pause: float = 0.0, fault: str = "", shard: bool = False
) -> subprocess.Popen[str]:
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    content["compute"] |= {"device": "cpu", "threads": 1, "processes": processes, "shard": shard}
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    (folder / "toy.py").write_text(STAGE)
    return subprocess.Popen(
        [sys.executable, "-m", "toy", str(pause), fault],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def worker(process: subprocess.Popen[str], folder: Path, rank: int) -> psutil.Process:
    """Return a worker once it has taken three steps."""
    for _ in range(3000):
        if (file := folder / f"3.{rank}.step").exists() and file.read_text():
            return psutil.Process(int(file.read_text()))
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no third step")


def result(folder: Path) -> np.ndarray:
    return np.load(folder / "weights.npy")


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_a_killed_process_ends_the_stage_with_a_message_and_the_stage_resumes_with_another_number(tmp_path, shard):
    stage = start(tmp_path, 2, pause=1.0, shard=shard)
    killed, other = (worker(stage, tmp_path, rank) for rank in (1, 0))
    killed.send_signal(signal.SIGKILL)
    code, _, errors = end(stage)

    assert code == 1
    assert errors.startswith("error: training process 1 of 2 was killed by signal 9") and "Traceback" not in errors
    assert "run again" in errors and errors.count("\n") == 2
    assert not other.is_running()
    before = {file.name for file in tmp_path.glob("*.0.step")}
    for file in tmp_path.glob("*.step"):
        file.unlink()
    assert end(start(tmp_path, 1))[0] == 0
    assert "1.0.step" in before and not (tmp_path / "1.0.step").exists()  # resumed
    assert end(start(tmp_path / "whole", 1))[0] == 0
    np.testing.assert_allclose(result(tmp_path), result(tmp_path / "whole"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_first_process_alone_writes_and_shows_progress(tmp_path):
    code, out, errors = end(start(tmp_path, 2))
    assert (code, errors) == (0, "")
    assert out.count("toy: 20 in") == 1
    assert (tmp_path / "20.1.step").exists() and result(tmp_path).shape == (5,)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["message", "bug"])
def test_the_message_of_one_process_is_the_stages(tmp_path, fault):
    code, _, errors = end(start(tmp_path, 2, fault=fault))
    assert code == 1
    if fault == "message":
        assert errors == "error: nothing to learn; add data\n(SPEECHALIGN_DEBUG=1 shows where)\n"
    else:
        assert "IndexError: a bug" in errors and errors.count("Traceback") == 1
        assert "error: training process 1 of 2 ended with an error; its traceback is above" in errors


@pytest.mark.slow
def test_workers_end_with_the_command_that_started_them(tmp_path):
    stage = start(tmp_path, 2, pause=1.0)
    workers = [worker(stage, tmp_path, rank) for rank in (0, 1)]
    stage.kill()
    stage.communicate()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_with_one_line(tmp_path):
    stage = start(tmp_path, 2, pause=1.0)
    workers = [worker(stage, tmp_path, rank) for rank in (0, 1)]
    for process in (*workers, stage):  # as a terminal does
        process.send_signal(signal.SIGINT)
    code, _, errors = end(stage)
    assert (code, errors) == (130, "stopped; nothing half-written; run again to go on\n")
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_auto_is_one_process_per_gpu_and_one_on_a_cpu(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert (processes_of("auto", cpu), processes_of(3, cpu)) == (1, 3)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert (processes_of("auto", cuda), processes_of(2, cuda), processes_of("auto", cpu)) == (4, 2, 1)
    with pytest.raises(ParamsError, match=r"compute.processes is 8, but PyTorch finds 4 GPU"):
        processes_of(8, cuda)
