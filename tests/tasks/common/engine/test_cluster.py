"""Two Ray nodes on this machine, each with a working folder of its own: the results of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.common.engine import WorkerError, Workers
from tasks.common.files import DataError
from tasks.common.params import Params
from tests.tasks.common.engine import squares
from tests.tasks.common.engine.conftest import ADDRESS
from tests.tasks.common.engine.squares import Squares
from tests.tasks.common.engine.test_engine import NUMBERS, computed_by

pytest.importorskip("ray", reason="Ray is an extra (pip install 'speechalign[ray]'), and not installed here")
pytestmark = pytest.mark.slow
CPU = torch.device("cpu")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squares:
    """A checkpoint that only this process's working folder has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "power" / "deep").mkdir(parents=True)
    (tmp_path / "power" / "deep" / "exponent").write_text("2")
    return Squares("power")


def on_ray(workers: int | str = "auto") -> Params:
    params = computed_by("ray", workers)
    return params.model_copy(update={"compute": params.compute.model_copy(update={"address": ADDRESS})})


def test_two_nodes_give_the_results_of_one_process_from_folders_of_their_own(cluster, parts, tmp_path):
    with Workers(on_ray(), parts, CPU) as workers:
        found = workers.spread(squares.powers, NUMBERS, key=lambda n: -n, size=2, on_done=print)
        names = [str(tmp_path / name) for name in "ab"]
        where = workers.spread(squares.meeting, [names, names[::-1]], key=str, size=1, on_done=print)

    assert found == [n * n for n in NUMBERS]
    assert {Path(folder) for folder, _, _ in where} == set(cluster)
    assert {threads for _, _, threads in where} == {1}
    assert not [file for folder in cluster for file in folder.rglob("exponent")]  # nothing stays there


def test_a_killed_workers_shard_is_done_again(cluster, parts, tmp_path):
    names = [str(tmp_path / f"killed-{i}") if i == 1 else "" for i in range(4)]
    with Workers(on_ray(), parts, CPU) as workers:
        found = list(workers.map(squares.killed_once, ([name] for name in names), print))

    assert found == [[name.upper()] for name in names]
    assert (tmp_path / "killed-1").exists()


def test_a_workers_own_error_is_the_stages(cluster, parts):
    with Workers(on_ray(), parts, CPU) as workers, pytest.raises(DataError, match="found 3, expected another"):
        list(workers.map(squares.refused, [[3], [4]], print))


def test_no_cluster_at_the_address_is_one_message(parts):
    params = on_ray()
    params = params.model_copy(update={"compute": params.compute.model_copy(update={"address": "127.0.0.1:1"})})
    with Workers(params, parts, CPU) as workers, pytest.raises(WorkerError, match=r"no Ray at 127\.0\.0\.1:1"):
        list(workers.map(squares.powers, [[1]], print))
