"""A loop whose stages run on two workers in empty folders: same bytes as here, and nothing is lost with a worker."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from dvc.repo import Repo
from prefect.client.orchestration import SyncPrefectClient

from flows import graph
from flows.loop import speechalign_loop
from flows.pools import submit
from tasks.common import yaml12
from tests.flows.conftest import wait_for
from tests.flows.pools.conftest import deploy, idle


@pytest.fixture
def here(project, tmp_path, monkeypatch):
    """What a run in one folder makes, with its dvc.lock."""
    folder = tmp_path / "here"
    shutil.copytree(project.folder, folder)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        with Repo(".") as repo:
            repo.reproduce()
    project.calls()
    return type(project)(folder, tmp_path / "none").made(), yaml12.loads((folder / "dvc.lock").read_text())


@pytest.mark.slow
def test_workers_in_empty_folders_make_the_bytes_of_a_local_run_though_one_is_killed(
    project, here, start, monkeypatch, tmp_path
):
    made, lock = here
    monkeypatch.setenv("SPEECHALIGN_POOL_SILENCE_SECONDS", "20")
    project.commit(trouble={"prepare": {"until": str(tmp_path / "on")}})
    killed, other = start("cpu"), start("gpu")
    states = []
    flow = threading.Thread(target=lambda: states.append(speechalign_loop(return_state=True)))
    flow.start()
    wait_for(project.pids, 240)
    killed.kill()
    (tmp_path / "on").write_text("")
    second = start("cpu")
    idle(second)
    flow.join(500)

    assert states and states[0].is_completed(), states[0].message if states else second.log()
    assert project.calls() == ["prepare", "prepare", "policy", "evaluate", "report"]
    assert yaml12.loads(Path("dvc.lock").read_text()) == lock
    # The report ran here: it fetched what it reads. Nobody here reads the data.
    found = project.made()
    assert {name: made[name] for name in found} == found
    assert {"runs/1/scores.json", "reports/index.html"} <= found.keys() and "data/train.txt" not in found
    assert (other.left(), second.left()) == ([], [])
    assert not any(stage.changed for stage in graph.read().stages.values())
    with Repo(".") as repo:
        repo.pull()
    assert project.made() == made


@pytest.mark.slow
def test_a_worker_without_this_projects_packages_is_said_to_be_lost_with_the_reason(
    project, deployed, start, monkeypatch
):
    deploy(deployed, pools=["bare"], entrypoint="no_such_package.worker.speechalign_stage")
    monkeypatch.setattr(submit, "TRIES", 1)
    project.commit(compute={"threads": 1, "pools": {"prepare": "bare"}})
    start("bare")
    state = speechalign_loop(targets=["prepare"], return_state=True)

    assert state.is_failed()
    assert "the last: Process exited with status code: 1" in state.message
    assert "have they this project's packages" in state.message


def test_a_pool_that_was_deleted_since_its_deployment_is_named_at_once(project, deployed):
    deploy(deployed, pools=["old"])
    with SyncPrefectClient(deployed) as api:
        api.request("DELETE", "/work_pools/old")
    project.commit(compute={"threads": 1, "pools": {"prepare": "old"}})
    state = speechalign_loop(targets=["prepare"], return_state=True)

    assert state.is_failed()
    assert "no pool any more for the deployment speechalign-stage/old" in state.message
