import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from study import arm as runner
from study.arms import Arm, Study, load, merged
from study.table import GROUPS
from tasks.common import paths
from tasks.common.files import DataError
from tasks.common.params import Params, ParamsError
from tasks.common.tracking import client as mlflow_client
from tests.conftest import REPOSITORY

PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
ARM = {"title": "t", "group": "methods"}
LOOP = {**ARM, "first": 0, "shares": "nothing"}


def study() -> Study:
    return load(REPOSITORY / "study/params.yaml")


def written(folder: Path, **changes: object) -> Path:
    content = {"seeds": [17, 18], "common": {}, "loop": LOOP, "arms": {}, "one_seed": [17], "single": {}}
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump({**content, "starts": {}, "later": {}, **changes}))
    return file


@pytest.mark.parametrize("name", study().by_name)
def test_every_arm_gives_valid_settings_and_a_chain_as_long_as_it_runs(name):
    arm = study().by_name[name]
    params = Params.model_validate(merged(arm, PARAMS, study().common, seed=18))
    assert list(params.iterations) == [str(k) for k in range(1, max(arm.last, 1) + 1)]
    assert params.seed == 18
    assert arm.group in GROUPS
    assert runner.steps_of(arm)[-1] == ["tasks.evaluate", "--iteration", str(arm.last)]


def test_every_method_and_every_source_without_people_is_an_arm():
    settings = [merged(arm, PARAMS, {}, seed=17) for arm in study().by_name.values()]
    for block, name, left_out in (("align", "method", set()), ("prefer", "source", {"votes"})):
        possible = Params.model_fields[block].annotation.model_fields[name].annotation.__args__
        assert {params[block][name] for params in settings} == {*possible} - left_out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algin": {}}, "sets algin, which params.yaml does not have"),
        ({"align": {"method": "dpoo"}}, "makes params.yaml impossible"),
        ({"align": {"lr": -1.0}}, "align.lr"),
    ],
)
def test_an_arm_with_a_wrong_setting_is_one_clear_message(changes, message):
    with pytest.raises(ParamsError, match=message):
        merged(Arm(**ARM, set=changes), PARAMS, {}, seed=17)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"x": {**ARM, "first": 0}}}, "first is 0 where the arm makes its own iteration 0"),
        ({"arms": {"x": {**ARM, "first": 3, "last": 2}}}, r"first \(3\) is after last \(2\)"),
        ({"arms": {"x": {**ARM, "shares": "pairs", "keep": "erring"}}}, "choose among an arm's own pairs"),
        ({"arms": {"x": {**ARM, "sft_share": 0.5}}}, "sft_share is of the data that the arm trains its own AR on"),
        (
            {"arms": {"x": {**ARM, "after": "y"}}, "starts": {"y": LOOP | {"shares": "data"}}},
            "x is after y, which need not have run by then",
        ),
        ({"arms": {"x": {**ARM, "against": "y"}}}, "x is compared with y, which is no arm"),
        ({"arms": {"x": ARM}, "single": {"x": ARM}}, "two arms have one name: x"),
        ({"one_seed": [19]}, r"one_seed is \[19\], but the loops have the seeds"),
        ({"loop": {**ARM, "first": 1}}, "the loop makes everything itself"),
    ],
)
def test_arms_that_contradict_themselves_are_refused(tmp_path, changes, message):
    load(written(tmp_path))
    with pytest.raises(ParamsError, match=rf"params\.yaml: .*{message}"):
        load(written(tmp_path, **changes))


def test_dvc_runs_every_arm_on_each_of_its_seeds_and_knows_what_the_loops_rest_on():
    declared = yaml.safe_load((REPOSITORY / "study/dvc.yaml").read_text())["stages"]
    code = {dep for stage in ("loop", "arm", "start") for dep in declared[stage]["deps"] if ".code/" in dep}
    assert code == {file for arm in study().by_name.values() for file in runner.code_of(arm)}
    [blocks] = [part["params.yaml"] for part in declared["loop"]["params"] if "params.yaml" in part]
    assert {*blocks, *runner.UNUSED, "seed"} == {*PARAMS, "compute.precision"}
    assert not set(blocks) & set(runner.UNUSED)


def test_an_arm_reruns_only_what_it_does_not_share():
    def names(**changes: object) -> list[str]:
        return [step[0].split(".")[1] for step in runner.steps_of(Arm(**{**ARM, **changes}), pairs=40)]

    assert names(shares="pairs") == ["align", "evaluate"]
    assert names(shares="samples") == ["prefer", "align", "evaluate"]
    assert names(shares="samples", last=2) == ["prefer", "align", "evaluate", "sample", "prefer", "align", "evaluate"]
    assert names(set={"texts": {"sample": "corpus"}}) == ["texts", "sample", "prefer", "align", "evaluate"]
    assert names(keep="erring") == ["sample", "prefer", "pairs", "align", "evaluate"]
    assert names(first=0, last=0, shares="data", sft_share=0.1) == ["sft", "evaluate"]
    [prefer, choose, *_] = runner.steps_of(Arm(**ARM, shares="samples", as_many_pairs=True), pairs=40)
    assert "--judged" in prefer and choose[-2:] == ["--number", "40"]


def loop_made(folder: Path, last: int = 1) -> Path:
    """What a loop leaves behind, in its workspace below ``folder``."""
    base = folder / "loop"
    nar = (paths.NAR / "weights", paths.NAR.with_name("nar_curve.csv"))
    for path in (paths.CODES / "test.parquet", paths.TEXTS / "test.parquet", *nar):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("made")
    for k in map(str, range(last + 1)):
        for path in (paths.metrics(k), paths.samples(k), paths.judgements(k), paths.pairs(k), paths.tracking(k)):
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_text(f"made {k}")
    return base


def test_a_workspace_links_what_the_arm_shares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arm = Arm(**ARM, shares="samples")
    with pytest.raises(Exception, match="do not exist"):
        runner.links_of(arm, tmp_path / "loop")
    base = loop_made(tmp_path)
    shared = runner.links_of(arm, base)
    assert {paths.NAR, paths.TEXTS, paths.samples("1"), paths.judgements("1")} <= set(shared)
    assert not {paths.pairs("1"), paths.tracking("0"), paths.metrics("1")} & set(shared)
    own_texts = Arm(**ARM, set={"texts": {"sample": "corpus"}})
    assert paths.TEXTS not in runner.links_of(own_texts, base)
    own_policy = Arm(**{**LOOP, "shares": "data", "last": 0})
    of_runs = {path for path in runner.links_of(own_policy, base) if path.parts[0] == "runs"}
    assert of_runs == {paths.NAR, paths.NAR.with_name("nar_curve.csv")}


def test_a_workspace_is_kept_while_what_it_rests_on_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base, folder = loop_made(tmp_path), Path("w")
    arm = Arm(**ARM, shares="pairs")
    params = merged(arm, PARAMS, {}, seed=17)
    Path("checkpoints").mkdir()
    for file in map(Path, runner.code_of(arm)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("code")

    def kept(settings: dict = params, pairs: int = 0) -> bool:
        (folder / "done.json").write_text("[]") if folder.is_dir() else None
        runner.prepare_workspace(folder, arm, settings, base, pairs)
        return (folder / "done.json").exists()

    assert not kept()
    assert (folder / paths.pairs("1")).read_text() == "made 1"
    assert kept()
    assert kept({**params, "compute": {**params["compute"], "threads": 1}})
    Path(".code/tasks.sample.txt").write_text("of a command that this arm does not run")
    assert kept()
    assert not kept({**params, "compute": {**params["compute"], "precision": "bf16"}})
    assert not kept()
    (base / paths.pairs("1")).write_text("others")
    assert not kept()
    Path(".code/tasks.align.txt").write_text("model.objectives.dpo 0123")
    assert not kept()
    assert not kept(pairs=40)
    Path("checkpoints/weights").write_text("trained again")
    assert not kept(pairs=40)


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
    workspace = tmp_path / runner.workspace("rejection", 18)
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


@pytest.mark.parametrize("which", ["rejection-17", "study/dvc.yaml:arm@rejection-17"])
def test_an_arm_is_named_with_its_seed_or_as_dvc_names_it(which):
    assert runner.chosen(which, study().by_name) == ("rejection", 17)
    assert runner.chosen("../study/dvc.yaml:loop@19", study().by_name) == ("loop", 19)


@pytest.mark.parametrize("which", ["rejection", "none-17", "rejection-x", "study/dvc.yaml:arm@../x-17", ""])
def test_what_is_no_arm_is_refused_with_those_there_are(which):
    with pytest.raises(DataError, match="it has loop, rejection"):
        runner.chosen(which, study().by_name)


@pytest.mark.parametrize("name", ["../x", "$(touch X)", "a.b", "a-1", ""])
def test_an_arm_whose_name_is_no_folder_is_refused(name):
    content = study().model_dump()
    content["arms"][name] = content["arms"]["rejection"]
    with pytest.raises(ValidationError, match="names a folder"):
        Study.model_validate(content)
