import json
from pathlib import Path

import pytest
import yaml

from study import arm as runner
from study.arms import Arm, load, merged
from study.table import GROUPS
from tasks.common.params import Params, ParamsError
from tasks.common.tracking import client as mlflow_client
from tests.conftest import REPOSITORY

PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
BASE = {"title": "t", "group": "methods", "first": 1, "last": 1, "pairs": "main", "share": 1.0, "own": "nothing"}
BASE |= {"after": "runs"}


def arms() -> dict[str, Arm]:
    return load(REPOSITORY / "study/params.yaml")


@pytest.mark.parametrize("name", arms())
def test_every_arm_gives_valid_settings_and_a_chain_as_long_as_it_runs(name):
    arm = arms()[name]
    params = Params.model_validate(merged(arm, PARAMS))
    assert list(params.iterations) == [str(k) for k in range(1, arm.last + 1)]
    assert arm.group in GROUPS
    ends = [step for step in runner.steps_of(arm) if step[0] == "tasks.evaluate"][-1]
    assert ends == ["tasks.evaluate", "--iteration", str(arm.last)]


def test_every_method_of_the_project_is_an_arm():
    methods = {merged(arm, PARAMS)["align"]["method"] for arm in arms().values()}
    assert methods == set(Params.model_fields["align"].annotation.model_fields["method"].annotation.__args__)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set": {"algin": {}}}, "sets algin, which params.yaml does not have"),
        ({"set": {"align": {"method": "dpoo"}}}, "makes params.yaml impossible"),
        ({"set": {"align": {"lr": -1.0}}}, "align.lr"),
    ],
)
def test_an_arm_with_a_wrong_setting_is_one_clear_message(changes, message):
    with pytest.raises(ParamsError, match=message):
        merged(Arm(**{**BASE, **changes}), PARAMS)


@pytest.mark.parametrize(
    "changes",
    [
        {"first": 2},
        {"own": "sft"},
        {"pairs": "own", "share": 0.5},
        {"first": 3, "last": 2},
        {"after": "study/results/y"},  # whose pairs are not the main loop's
        {"after": "elsewhere", "pairs": "own"},
    ],
)
def test_an_arm_that_contradicts_itself_is_refused(tmp_path, changes):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"arms": {"x": {**BASE, "set": {}, **changes}}}))
    with pytest.raises(ParamsError, match="1 problem"):
        load(file)


def test_dvc_and_the_workspace_rest_on_the_same_code_and_settings():
    declared = yaml.safe_load((REPOSITORY / "study/dvc.yaml").read_text())["stages"]["arm"]["do"]
    code = {dep for dep in declared["deps"] if ".code/" in dep}
    assert code == {file for arm in arms().values() for file in runner.code_of(arm)}
    [blocks] = [part["params.yaml"] for part in declared["params"] if "params.yaml" in part]
    assert set(blocks) | set(runner.UNUSED) == {*PARAMS, "compute.precision"}
    assert not set(blocks) & set(runner.UNUSED)


def test_a_workspace_is_kept_while_what_it_rests_on_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arm = Arm(**{**BASE, "set": {}})
    params = merged(arm, PARAMS)
    with pytest.raises(Exception, match="run `make demo` first"):
        runner.prepare_workspace(Path("w"), arm, params)
    for path in (*runner.links_of(arm), *map(Path, runner.code_of(arm))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("made") if path.suffix else path.mkdir(exist_ok=True)
    runner.prepare_workspace(Path("w"), arm, params)
    (tmp_path / "w/done.json").write_text("[]")
    runner.prepare_workspace(Path("w"), arm, params)
    assert (tmp_path / "w/done.json").exists()
    where = {**params, "compute": {**params["compute"], "threads": 1}}
    runner.prepare_workspace(Path("w"), arm, where)
    assert (tmp_path / "w/done.json").exists()
    (tmp_path / ".code/tasks.sample.txt").write_text("of a command that this arm does not run")
    runner.prepare_workspace(Path("w"), arm, params)
    assert (tmp_path / "w/done.json").exists()
    half = {**params, "compute": {**params["compute"], "precision": "bf16"}}
    runner.prepare_workspace(Path("w"), arm, half)
    assert not (tmp_path / "w/done.json").exists()
    runner.prepare_workspace(Path("w"), arm, params)
    (tmp_path / "w/done.json").write_text("[]")
    (tmp_path / "runs/1/pairs.parquet").write_text("others")
    runner.prepare_workspace(Path("w"), arm, params)
    assert not (tmp_path / "w/done.json").exists()
    (tmp_path / "w/done.json").write_text("[]")
    (tmp_path / ".code/tasks.align.txt").write_text("model.objectives.dpo 0123")
    runner.prepare_workspace(Path("w"), arm, params)
    assert not (tmp_path / "w/done.json").exists()


def test_an_arm_can_start_from_another_arms_loop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arm = Arm(**{**BASE, "set": {}, "pairs": "own", "after": "study/results/other"})
    params = merged(arm, PARAMS)
    with pytest.raises(Exception, match="arm@other` first"):
        runner.prepare_workspace(Path("w"), arm, params)
    for path in runner.links_of(arm):
        for made, text in ((path, "main's"), ("study/.work/other" / path, "other's")):
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(text) if made.suffix else made.mkdir(exist_ok=True)
    for file in runner.code_of(arm):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("code")
    runner.prepare_workspace(Path("w"), arm, params)
    assert (tmp_path / "w/runs/0/metrics.json").read_text() == "other's"


@pytest.mark.parametrize(
    ("named", "location"),
    [
        ({}, "{project}/mlartifacts"),
        ({"MLFLOW_DEFAULT_ARTIFACT_ROOT": ""}, "{project}/mlartifacts"),
        ({"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://bucket/mlflow"}, "s3://bucket/mlflow"),
        ({"MLFLOW_TRACKING_URI": "sqlite:////elsewhere/mlflow.db"}, "{project}/mlartifacts"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}, None),  # the server decides
    ],
)
def test_an_arms_artifacts_are_kept_with_the_projects_and_not_in_its_workspace(tmp_path, monkeypatch, named, location):
    workspace = tmp_path / runner.WORK / "seed_18"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    environment = runner.tracked({"PATH": "p", **named})
    assert environment["PATH"] == "p" and environment["MLFLOW_EXPERIMENT_NAME"] == "speechalign-study"
    assert environment["MLFLOW_TRACKING_URI"] == named.get("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(workspace)  # where a step makes the experiment
    assert mlflow_client._artifact_location() == (location and location.format(project=tmp_path.as_uri()))


def test_finished_steps_are_not_run_again_and_a_failed_one_stops(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "good.py").write_text("open('log', 'a').write('x')")
    failing = "import sys; print('error: no pairs', file=sys.stderr); sys.exit(1)"
    (folder / "bad.py").write_text(failing)
    with pytest.raises(Exception, match=r"bad in .*w: no pairs"):
        runner.run_steps(folder, [["good"], ["bad"]], {"PATH": ""})
    (folder / "bad.py").write_text("")
    runner.run_steps(folder, [["good"], ["bad"]], {"PATH": ""})
    assert (folder / "log").read_text() == "x"
    assert json.loads((folder / "done.json").read_text()) == [["good"], ["bad"]]
