"""Data between workspaces and DVC's remote: a remote that fails, one that is damaged, a disk that is full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient

from flows import process
from flows.pools import job, lock, transfer, worker
from flows.stage import FAILED, RAN, RESTORED
from tasks.common.files import write_json
from tasks.common.tracking import patience
from tasks.common.tracking.outbox import UNSENT
from tests.flows.conftest import PROJECT
from tests.flows.pools.faulty_s3 import proxy


def forget_data() -> None:
    """Leave the outputs in the remote only."""
    for left in ("data", ".dvc/cache"):
        shutil.rmtree(left)


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def faulty(remote, monkeypatch):
    """The remote behind a proxy."""
    with proxy(remote.endpoint) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.address)
        yield server


@pytest.fixture
def made(faulty, project):
    """The project with `prepare` run and stored; its data are nowhere but in the remote."""
    with Repo(".") as repo:
        repo.reproduce("prepare")
    transfer.push(["data"])
    project.calls()
    forget_data()
    return project


def order(stage: str, *inputs: str) -> job.Job:
    return job.of(stage, list(inputs), lock.entries(["prepare"]), None)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("500", "500|InternalError|We broke"),
        ("reset", "[Cc]onnection|reset|Could not connect"),
        ("corrupt", "lacks data, or has it with another checksum"),
    ],
)
def test_a_remote_that_fails_is_one_message_with_its_cause(made, faulty, patient, monkeypatch, fault, says):
    monkeypatch.setattr(transfer, "TRIES", 2)
    faulty.fault = fault
    with pytest.raises(
        transfer.TransferError, match=f"cannot fetch data: DVC's remote storage was asked 2 times.*({says})"
    ):
        transfer.pull(["data"])
    assert faulty.suffered
    assert not Path("data/train.txt").exists() or fault != "corrupt"

    faulty.fault = "none"
    transfer.pull(["data"])
    assert "train" in Path("data/train.txt").read_text()


def test_a_remote_that_takes_nothing_is_one_message_with_its_cause(faulty, project, patient, monkeypatch):
    monkeypatch.setattr(transfer, "TRIES", 2)
    with Repo(".") as repo:
        repo.reproduce("prepare")
    faulty.fault = "500"
    with pytest.raises(
        transfer.TransferError, match=r"cannot store data: DVC's remote storage was asked 2 times; .*We broke"
    ):
        transfer.push(["data"])

    faulty.fault = "none"
    transfer.push(["data"])
    forget_data()
    transfer.pull(["data"])
    assert "train" in Path("data/train.txt").read_text()


def test_files_of_a_folder_that_are_stored_one_after_the_other_are_all_there(remote, project, patient):
    with Repo(".") as repo:
        repo.reproduce("prepare")
    for file in ("data/test.txt", "data/train.txt"):  # as two stages on pools read them, each one file
        transfer.push([file])
    forget_data()
    transfer.pull(["data/train.txt"])
    assert "train" in Path("data/train.txt").read_text()


def test_a_bucket_that_is_not_there_is_named_with_what_to_look_at(remote, project, patient):
    with Repo(".") as repo:
        repo.reproduce("prepare")
    Path(".dvc/config.local").write_text("['remote \"storage\"']\n    url = s3://nowhere/dvc\n")
    with pytest.raises(transfer.TransferError, match=r"bucket does not exist.*address, bucket and credentials"):
        transfer.push(["data"])


def test_a_remote_that_fails_once_is_asked_again(made, faulty, patient):
    faulty.fault, faulty.left = "500", 1
    transfer.pull(["data"])
    assert Path("data/test.txt").is_file() and faulty.suffered == 1


def test_without_a_remote_it_says_how_to_make_one(made, monkeypatch):
    Path(".dvc/config").write_text("")
    with pytest.raises(transfer.TransferError, match="dvc remote add --default"):
        transfer.pull(["data"])


def test_a_worker_makes_the_stage_once_and_restores_it_afterwards(made, patient, tmp_path, monkeypatch):
    monkeypatch.setenv(worker.WORK, str(tmp_path / "clones"))
    (tmp_path / "clones").mkdir()
    said: list[str] = []
    task = order("policy", "data")

    outcome, entry = worker.work(task, said.append)
    again, same = worker.work(task, said.append)

    assert (outcome.how, again.how) == (RAN, RESTORED)
    assert json.loads(entry) == json.loads(same)
    assert [out["path"] for out in json.loads(entry)["outs"]] == ["runs/1/policy"]
    assert made.calls() == ["policy"]
    assert not list((tmp_path / "clones").iterdir()) and Path.cwd() == made.folder
    assert "policy: at work" in said


def test_a_stage_that_fails_on_a_worker_tells_its_own_message(made, patient):
    made.commit(trouble={"policy": {"message": "error: no GPU"}})
    outcome, entry = worker.work(order("policy", "data"), lambda _: None)
    assert (outcome.how, outcome.message, entry) == (FAILED, "no GPU", "")


def test_a_commit_that_was_not_pushed_is_named(made):
    made.git("commit", "--quiet", "--allow-empty", "--message", "not pushed")
    with pytest.raises(worker.CloneError, match="Was the commit pushed"):
        worker.work(order("policy", "data"), lambda _: None)


def test_changes_that_no_commit_holds_are_refused(made):
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "more: 1\n")
    with pytest.raises(job.NoCommitError, match=r"differs in params\.yaml; commit and push"):
        order("policy", "data")


def test_credentials_in_the_address_of_the_repository_stay_here(project):
    project.git("remote", "set-url", "origin", "https://me:secret-token@git.example/team/project.git")
    assert order("policy").repository == "https://git.example/team/project.git"


def test_what_a_killed_worker_left_is_removed_by_the_next(made, patient, tmp_path, monkeypatch):
    monkeypatch.setenv(worker.WORK, str(tmp_path / "clones"))
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / "clones" / f"{worker._PREFIX}{pid}-x").mkdir(parents=True)
    worker._sweep()
    assert [left.name for left in (tmp_path / "clones").iterdir()] == [f"{worker._PREFIX}{os.getppid()}-x"]


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A disk of 300 kB for clones."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder]).returncode:
        pytest.skip("only root may mount a small disk")
    monkeypatch.setenv(worker.WORK, str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_message(made, patient, small_disk):
    with pytest.raises(transfer.TransferError) as refused:
        worker.work(order("policy", "data"), lambda _: None)
    message = str(refused.value)
    assert message.startswith("the disk with ") and "of 0.3 MB are free now" in message and "\n" not in message
    assert not list(small_disk.iterdir())


def test_points_that_mlflow_missed_are_sent_before_the_clone_is_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(patience, "AWAY_SECONDS", 0)
    process.allow()
    address = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(address)
    run = client.create_run(client.create_experiment("speechalign")).info.run_id
    kept = {"tracking_uri": address, "status": "FINISHED", "parent_run_id": run, "points": [["loss", 0.5, 1, 3]]}
    write_json(UNSENT / f"{run}.json", kept)
    said: list[str] = []

    worker.send_points(said.append)
    assert said and said[0].startswith("warning: MLflow lacks points") and "127.0.0.1:9" in said[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    worker.send_points(said.append)
    assert len(said) == 1
    assert client.get_run(run).data.metrics == {"loss": 0.5}
