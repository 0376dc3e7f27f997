"""The study's arms run through Prefect like the loop's stages, from their own ``dvc.yaml``."""

from __future__ import annotations

import pytest
import yaml
from prefect.client.schemas.objects import State

from flows.graph import STUDY, read
from flows.study import speechalign_study
from tests.flows.test_cli import command

pytestmark = pytest.mark.usefixtures("prefect_api")

LOOP = "mkdir -p study/results/loop && cat seedling > study/results/loop/${item.seed} && echo loop-${item.seed} >> ran"
ARM = "cd study/results && mkdir -p ${item.name} && cat loop/${item.seed} > ${item.name}/${item.seed} && cd ../.."
PIPELINE = {
    "stages": {
        "loop": {
            "matrix": {"seed": "${seeds}"},
            "cmd": LOOP,
            "wdir": "..",
            "deps": ["seedling"],
            "outs": ["study/results/loop/${item.seed}"],
        },
        "arm": {
            "matrix": {"name": "${arms}", "seed": "${seeds}"},
            "cmd": ARM + " && echo ${item.name}-${item.seed} >> ran",
            "wdir": "..",
            "deps": ["study/results/loop/${item.seed}"],
            "outs": ["study/results/${item.name}/${item.seed}"],
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
def study(toy):
    folder = toy.folder / "study"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE, sort_keys=False))
    (folder / "params.yaml").write_text("seeds: [17, 18]\narms: {second: {}, last: {}}")
    (toy.folder / "seedling").write_text("")
    return toy


def test_the_loops_come_first_and_then_every_seed_of_the_most_important_arm(study, capsys):
    outcomes = speechalign_study(jobs=1)
    assert set(outcomes.values()) == {"ran"}
    expected = ["loop-17", "loop-18", "second-17", "second-18", "last-17", "last-18"]
    assert (study.folder / "ran").read_text().split() == expected
    assert "last\nloop\nsecond" in capsys.readouterr().out
    assert read(STUDY).up_to_date(outcomes)
    assert study.calls() == []  # nothing of the main loop, which has never run


def test_the_command_shows_the_tables_again(study):
    for expected in ("7 ran", "nothing to do: all 7 stages of the study are up to date"):
        process = command("study", "--targets", "table")
        printed, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert expected in printed + errors
        assert "last\nloop\nsecond" in printed
    process = command("study", "--targets", "arm@third")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert errors.splitlines()[0].startswith("error: study/dvc.yaml has no stage 'arm@third'")


def test_an_arm_that_fails_is_named(study):
    (study.folder / "study/dvc.yaml").write_text(
        yaml.safe_dump(PIPELINE, sort_keys=False).replace("cat seedling", "cat nothing")
    )
    state = speechalign_study(targets=["loop@17"], return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert "loop@17" in state.message and "No such file" in state.message
    state = speechalign_study(targets=["arm@third"], return_state=True)
    assert "study/dvc.yaml has no stage 'arm@third'" in state.message
