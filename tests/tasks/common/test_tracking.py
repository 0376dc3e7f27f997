"""The runs a loop leaves in MLflow, in SQLite and on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.common import digests, paths, tracking
from tasks.common.files import DataError
from tasks.common.params import Params, load
from tasks.common.tracking import outbox, patience
from tasks.common.tracking.client import TrackingError, connect
from tasks.common.tracking.run import Run
from tests.mlflow_server import Forwarder, free_port

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The project's parameters; the working directory is an empty one."""
    monkeypatch.chdir(tmp_path)
    return load(PROJECT / "params.yaml")


@pytest.fixture(params=["sqlite", "server"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both kinds of store, in turn."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite")
    uri = request.getfixturevalue("mlflow_server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", uuid.uuid4().hex)
    return uri


def children(client: MlflowClient, parent: str) -> dict[str, str]:
    """Status of each child run by name."""
    [experiment] = {client.get_run(parent).info.experiment_id}
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.info.run_name: run.info.status for run in runs}


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"parent_run_id": "a", "run_id": 1}'])
def test_damaged_ids_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str):
    monkeypatch.chdir(tmp_path)
    paths.tracking("0").parent.mkdir(parents=True)
    paths.tracking("0").write_text(content)
    with pytest.raises(DataError, match=r"runs/0/mlflow\.json should name parent_run_id and run_id"):
        tracking.read("0")


def test_a_loop_is_one_parent_with_a_child_an_iteration(params: Params, store: str):
    first = tracking.start_loop(params)
    with tracking.resume(first, "0") as run:
        for step in range(1200):  # more than one request takes
            run.log_metrics({"loss": 1 / (step + 1)}, step)
        run.log_results({"wer": 0.3})
    second = tracking.start_iteration("1", first, params)
    with tracking.resume(second, "1") as run:
        run.log_results({"wer": 0.2})

    client = connect()
    assert second["parent_run_id"] == first["parent_run_id"]
    assert children(client, first["parent_run_id"]) == {"iteration 0": "FINISHED", "iteration 1": "FINISHED"}
    history = client.get_metric_history(first["run_id"], "loss")
    assert [(point.step, point.value) for point in history] == [(k, 1 / (k + 1)) for k in range(1200)]
    curve = client.get_metric_history(first["parent_run_id"], "wer")
    assert [(point.step, point.value) for point in curve] == [(0, 0.3), (1, 0.2)]
    parent, child = client.get_run(first["parent_run_id"]), client.get_run(second["run_id"])
    assert parent.data.params["iterations.2.beta"] == "null"
    assert (child.data.params["iteration.beta"], child.data.params["iteration.nll_weight"]) == ("0.1", "1.0")
    assert parent.data.params["prepare.synthetic.rate"] == "[150, 200]"
    assert child.data.params["iteration.prev"] == "0"
    assert child.data.params["align.lr"] == str(params.align.lr)
    assert child.data.tags["torch"]


def test_a_stage_of_one_iteration_on_a_pool_is_logged_though_mlflow_refuses_its_name(params: Params, store: str):
    pools = {"align": "gpu", "evaluate@2": "gpu"}  # of docs/pools.md
    chosen = params.model_copy(update={"compute": params.compute.model_copy(update={"pools": pools})})
    ids = tracking.start_loop(chosen)

    logged = connect().get_run(ids["run_id"]).data.params
    assert (logged["compute.pools.align"], logged["compute.pools.evaluate_2"]) == ("gpu", "gpu")


def test_artifacts_come_back_as_they_were_logged(params: Params, store: str, tmp_path: Path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/one.flac").write_bytes(b"fLaC one")
    (tmp_path / "two.flac").write_bytes(b"fLaC two")
    ids = tracking.start_loop(params)
    with tracking.resume(ids, "0") as run:
        run.log_artifact(Path("audio"), "audio")
        run.log_artifact(Path("two.flac"), "audio")
        run.log_dict({"wer": 0.1}, "metrics.json")
    got = Path(connect().download_artifacts(ids["run_id"], "", str(tmp_path)))
    assert (got / "audio/one.flac").read_bytes() == b"fLaC one"
    assert (got / "audio/two.flac").read_bytes() == b"fLaC two"
    assert '"wer"' in (got / "metrics.json").read_text()


def test_runs_that_log_the_same_new_data_at_the_same_moment_all_have_it(params: Params, sqlite: str, tmp_path: Path):
    started = [tracking.start_loop(params)["run_id"] for _ in range(4)]
    runs = [Run(connect(), run_id, run_id, 0) for run_id in started]
    together = threading.Barrier(len(runs), timeout=30)

    def log(run: Run) -> None:
        for number in range(5):
            (tmp_path / f"{number}").write_text(str(number))
            together.wait()
            run.log_dataset("pairs", tmp_path / f"{number}")

    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(log, runs))

    for run_id in started:
        assert len(connect().get_run(run_id).inputs.dataset_inputs) == 5


def test_dataset_digests_are_dvcs(params: Params, sqlite: str, tmp_path: Path):
    write = "import pathlib as p; p.Path('d/a').mkdir(parents=True); p.Path('d/a/x').write_text('x'); "
    write += "p.Path('d/a.b').write_text('y'); p.Path('f').write_text('z\\r\\n')"
    (tmp_path / "make.py").write_text(write)
    stage = {"stages": {"make": {"cmd": f"{sys.executable} make.py", "outs": ["d", "f"]}}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(stage))
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "none")}
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True, cwd=tmp_path, env=environment)
    outs = yaml.safe_load((tmp_path / "dvc.lock").read_text())["stages"]["make"]["outs"]
    wanted = {out["path"]: out["md5"] for out in outs}

    assert {name: digests.from_lock(Path(name)) for name in wanted} == wanted
    assert {name: digests.md5(Path(name), lock=Path("none")) for name in wanted} == wanted
    ids = tracking.start_loop(params)
    with tracking.resume(ids, "0") as run:
        run.log_dataset("folder", Path("d"))
        run.log_dataset("file", Path("f"), context="evaluation")
    logged = connect().get_run(ids["run_id"]).inputs.dataset_inputs
    assert {i.dataset.name: i.dataset.digest for i in logged} == {"folder": wanted["d"], "file": wanted["f"]}
    assert {i.dataset.name: i.tags[0].value for i in logged} == {"folder": "training", "file": "evaluation"}


def test_data_changed_after_the_lock_gets_its_own_digest(tmp_path: Path):
    data, lock = tmp_path / "data", tmp_path / "dvc.lock"
    data.write_text("before")
    before = digests.compute_file(data)
    entry = {"path": str(data), "md5": before, "size": 6}
    lock.write_text(yaml.safe_dump({"stages": {"make": {"outs": [entry]}}}))
    data.write_text("after!")
    os.utime(data, (lock.stat().st_mtime + 10,) * 2)
    assert digests.md5(data, lock) == digests.compute_file(data) != before


def test_a_stage_that_fails_leaves_a_failed_run_and_its_metrics(params: Params, sqlite: str):
    ids = tracking.start_loop(params)

    def train():
        with tracking.resume(ids, "0") as run:
            run.log_metrics({"loss": 2.0}, 7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    client = connect()
    assert client.get_run(ids["run_id"]).info.status == "FAILED"
    assert client.get_run(ids["parent_run_id"]).info.status == "FAILED"
    assert client.get_metric_history(ids["run_id"], "loss")[0].step == 7


def test_a_rerun_supersedes_the_earlier_child_and_the_run_cache_brings_it_back(params: Params, sqlite: str):
    loop = tracking.start_loop(params)
    old = tracking.start_iteration("1", loop, params)
    new = tracking.start_iteration("1", loop, params)
    client = connect()
    assert client.get_run(old["run_id"]).data.tags["superseded_by"] == new["run_id"]
    assert "superseded_by" not in client.get_run(new["run_id"]).data.tags
    with tracking.resume(old, "1"):
        pass
    assert "superseded_by" not in client.get_run(old["run_id"]).data.tags
    assert client.get_run(new["run_id"]).data.tags["superseded_by"] == old["run_id"]


def test_ids_of_another_server_get_stand_ins_once(params: Params, store: str):
    foreign = {"parent_run_id": "a" * 32, "run_id": "b" * 32, "experiment": "x", "step": 1}
    for _ in range(2):
        with tracking.resume(foreign, "1") as run:
            run.log_results({"wer": 0.2})
    client = connect()
    child = client.get_run(run.run_id)
    assert child.data.tags["source_run_id"] == "b" * 32
    assert client.get_run(run.parent_run_id).data.tags["source_run_id"] == "a" * 32
    assert children(client, run.parent_run_id) == {"iteration 1": "FINISHED"}
    following = tracking.start_iteration("2", foreign, params)
    assert following["parent_run_id"] == run.parent_run_id


def test_a_deleted_run_gets_a_stand_in(params: Params, sqlite: str):
    ids = tracking.start_loop(params)
    connect().delete_run(ids["run_id"])
    with tracking.resume(ids, "0") as run:
        assert run.run_id != ids["run_id"]
        assert run.parent_run_id == ids["parent_run_id"]


def test_processes_that_find_no_database_at_once_all_get_it(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    # They wait for each other past the import, which takes long enough to keep them apart.
    code = (
        "import mlflow, sys; from tasks.common.tracking.client import connect; "
        "print(flush=True); sys.stdin.readline(); print(connect().get_experiment('0').name)"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) for _ in range(2)]
    for child in both:
        child.stdout.readline()
    for child in both:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in both:
        out, err = child.communicate(timeout=120)
        assert (child.returncode, out) == (0, "Default\n"), err


def test_a_server_that_is_down_is_named_with_what_to_do(params: Params, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    with pytest.raises(TrackingError, match="unset MLFLOW_TRACKING_URI") as caught:
        tracking.start_loop(params)
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_goes_away_slows_no_training_and_gets_what_it_missed_later(
    params: Params, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gate = Forwarder(mlflow_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.address)
    ids = tracking.start_loop(params)
    with tracking.resume(ids, "0") as run:
        gate.shut()
        asked = threading.Event()
        monkeypatch.setattr(run._client, "log_batch", lambda *_, **__: (asked.set(), time.sleep(600)))
        for step in range(1200):  # past the size at which points are sent
            run.log_metrics({"loss": 1.0}, step)
        assert asked.wait(60)  # a request that hangs, while the training goes on to its end
        monkeypatch.setattr(outbox, "SECONDS_TO_END", 0.1)
    assert "1200 metric points are kept in runs/.state/mlflow" in capsys.readouterr().err

    [kept] = outbox.UNSENT.glob("*.json")
    kept.write_text(kept.read_text().replace(gate.address, mlflow_server))  # the same server, back at its address
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    assert outbox.send_unsent(connect()) == (1200, 1)
    assert outbox.send_unsent(connect()) == (0, 0)
    client = connect()
    assert len(client.get_metric_history(ids["run_id"], "loss")) == 1200
    assert {client.get_run(ids[name]).info.status for name in ("run_id", "parent_run_id")} == {"FINISHED"}


@pytest.fixture
def gate(params: Params, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Forwarder:
    """The way to a real server, which can be shut."""
    gate = Forwarder(mlflow_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return gate


def test_what_a_stage_logs_at_its_end_waits_for_a_server_that_went_away(
    params: Params, gate: Forwarder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked, found_away = patience._away, []

    def asks(*arguments):
        if away := asked(*arguments):
            found_away.append(away)
            if len(found_away) == 3:
                gate.open()
        return away

    ids = tracking.start_loop(params)
    monkeypatch.setattr(patience, "_away", asks)
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)
    gate.shut()  # minutes of judging are behind it
    with tracking.resume(ids, "0") as run:
        run.log_results({"wer": 0.25})
        run.log_dict({"wer": 0.25}, "metrics.json")
    assert len(found_away) == 3
    assert capsys.readouterr().err.count("waiting for MLflow, 10 minutes at most: expected an MLflow server at ") == 1
    client = connect()
    for name in ("run_id", "parent_run_id"):
        assert [point.value for point in client.get_metric_history(ids[name], "wer")] == [0.25]
        assert client.get_run(ids[name]).info.status == "FINISHED"


def test_a_server_that_stays_away_is_named_in_the_end(
    params: Params, gate: Forwarder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ids = tracking.start_loop(params)
    monkeypatch.setattr(patience, "AWAY_SECONDS", 0.0)
    gate.shut()
    with pytest.raises(TrackingError, match="expected an MLflow server at "), tracking.resume(ids, "0"):
        pass


def test_the_end_of_a_run_that_a_server_missed_is_sent_later(params: Params, gate: Forwarder):
    ids = tracking.start_loop(params)
    with tracking.resume(ids, "0"):
        gate.shut()
    gate.open()
    assert outbox.send_unsent(connect()) == (0, 1)
    assert {connect().get_run(ids[name]).info.status for name in ("run_id", "parent_run_id")} == {"FINISHED"}


def test_points_of_a_server_that_refuses_are_kept_with_the_status(params: Params, sqlite: str, monkeypatch, capsys):
    ids = tracking.start_loop(params)
    with pytest.raises(RuntimeError), tracking.resume(ids, "0") as run:
        monkeypatch.setattr(run._client, "log_batch", partial(_refuse, "at https://me:hunter22@host"))
        run.log_metrics({"loss": 1.0}, 1)
        raise RuntimeError("of the training")
    assert "hunter22" not in capsys.readouterr().err
    assert json.loads(next(outbox.UNSENT.glob("*.json")).read_text())["status"] == "FAILED"


def _refuse(message: str, *_: object, **__: object) -> None:
    raise MlflowException(message)


def test_a_loop_that_a_kill_left_running_is_superseded_with_its_iterations(params: Params, sqlite: str):
    finished = tracking.start_loop(params)
    with tracking.resume(finished, "0"):
        pass
    killed = tracking.start_loop(params)
    now = tracking.start_loop(params)

    client = connect()
    for name in ("parent_run_id", "run_id"):
        run = client.get_run(killed[name])
        assert (run.info.status, run.data.tags["superseded_by"]) == ("KILLED", now["parent_run_id"])
        assert "superseded_by" not in client.get_run(finished[name]).data.tags
        assert client.get_run(now[name]).info.status == "RUNNING"


@pytest.mark.parametrize("content", ["{", "[]", '{"points": [[1]], "status": "FINISHED", "tracking_uri": "x"}'])
def test_a_damaged_file_of_points_is_named(params: Params, sqlite: str, content: str):
    outbox.UNSENT.mkdir(parents=True)
    (outbox.UNSENT / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"runs/\.state/mlflow/a\.json"):
        outbox.send_unsent(connect())


def test_a_deleted_experiment_is_refused(params: Params, sqlite: str):
    ids = tracking.start_loop(params)
    client = connect()
    client.delete_experiment(client.get_run(ids["run_id"]).info.experiment_id)
    with pytest.raises(TrackingError, match="MLFLOW_EXPERIMENT_NAME"):
        tracking.start_loop(params)


def test_without_git_runs_have_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mlflow.source.git.commit" not in tracking.environment_tags()


def test_runs_name_the_commit_and_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], check=True)
    assert tracking.environment_tags()["git_modified"] == "false"
    (tmp_path / "file").write_text("two")
    tags = tracking.environment_tags()
    assert tags["git_modified"] == "true"
    assert len(tags["mlflow.source.git.commit"]) == 40
