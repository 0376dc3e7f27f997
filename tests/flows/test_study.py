"""The study's arms run through Prefect like the loop's stages, from their own ``dvc.yaml``."""

from __future__ import annotations

import pytest
import yaml
from prefect.client.schemas.objects import State

from flows.graph import STUDY, read
from flows.loop import speechalign_loop
from flows.study import speechalign_study
from tests.flows.test_cli import command

pytestmark = pytest.mark.usefixtures("prefect_api")

ARM = "mkdir -p study/results && cat runs/1/policy > study/results/${key} && echo ${key} >> ran"
PIPELINE = {
    "stages": {
        "arm": {
            "foreach": "${arms}",
            "do": {"cmd": ARM, "wdir": "..", "deps": ["${item.after}"], "outs": ["study/results/${key}"]},
        },
        "table": {
            "cmd": "mkdir -p reports && ls study/results > reports/study.md",
            "wdir": "..",
            "deps": ["study/results"],
            "outs": ["reports/study.md"],
        },
    }
}


@pytest.fixture
def study(finished):
    folder = finished.folder / "study"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / "params.yaml").write_text("arms: {later: {after: study/results/first}, first: {after: runs/1/policy}}")
    return finished


def test_arms_run_after_what_they_start_from_and_once(study, capsys):
    outcomes = speechalign_study()
    assert outcomes == {"arm@first": "ran", "arm@later": "ran", "table": "ran"}
    assert (study.folder / "ran").read_text().split() == ["first", "later"]
    assert "first\nlater" in capsys.readouterr().out
    assert read(STUDY).up_to_date(outcomes)
    assert study.calls() == []  # nothing of the main loop


def test_a_loop_that_has_changed_comes_first(study):
    study.set(iterations={"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}})
    state = speechalign_study(return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert "not up to date: align@1; run `speechalign run` first" in state.message
    assert not (study.folder / "ran").exists()


def test_a_loop_that_stopped_early_says_how_to_go_on(study):
    study.set(iterations={"1": {"prev": "0", "rise": 0.05}, "2": {"prev": "1", "rise": 0.0}})
    assert speechalign_loop()["align@2"] == "skipped"
    state = speechalign_study(return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert "not up to date: align@2, evaluate@2; an early stop left iterations out" in state.message
    assert "run `speechalign run --no-early-stop` first" in state.message
    speechalign_loop(early_stop=False)
    assert set(speechalign_study().values()) == {"ran"}


def test_the_command_shows_the_tables_again(study):
    for expected in ("3 ran", "nothing to do: all 3 stages of the study are up to date"):
        process = command("study", "--targets", "table")
        printed, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert expected in printed + errors
        assert "first\nlater" in printed
    process = command("study", "--targets", "arm@third")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert errors.splitlines()[0].startswith("error: study/dvc.yaml has no stage 'arm@third'")


def test_an_arm_that_fails_is_named(study):
    (study.folder / "study/dvc.yaml").write_text(yaml.safe_dump(PIPELINE).replace("cat runs", "cat nothing/runs"))
    state = speechalign_study(targets=["arm@first"], return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert "arm@first" in state.message and "No such file" in state.message
    state = speechalign_study(targets=["arm@third"], return_state=True)
    assert "study/dvc.yaml has no stage 'arm@third'" in state.message
