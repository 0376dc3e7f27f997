"""The graph is DVC's own: its order, its dependencies, and no stage lost."""

from __future__ import annotations

import pytest

from flows.graph import GraphError, discard_outputs, read
from tests.flows.conftest import PROJECT


def test_stages_come_after_what_they_depend_on(toy):
    stages = read().stages
    names = list(stages)
    assert set(names) == {
        *("prepare", "sft", "evaluate_sft", "sample@1", "align@1", "evaluate@1"),
        *("sample@2", "align@2", "evaluate@2", "report"),
    }
    for stage in stages.values():
        assert all(names.index(above) < names.index(stage.name) for above in stage.upstream)
    assert stages["align@2"].upstream == ("align@1", "sample@2")
    assert stages["report"].upstream == tuple(sorted(set(names) - {"prepare", "report"}))


def test_pipelines_in_other_folders_are_left_out(toy):
    assert (toy.folder / "bootstrap" / "dvc.yaml").is_file()
    assert "train" not in read().stages


def test_what_a_stage_says_of_itself_is_read(toy):
    stages = read().stages.values()
    assert {stage.name for stage in stages if stage.all_cores} == {"align@1", "align@2"}
    assert {stage.name for stage in stages if stage.ahead} == {"sample@1", "sample@2"}


def test_iterations_follow_their_chain(toy):
    graph = read()
    assert graph.parents["2"] == {"1"}
    assert graph.parents["1"] == set()
    assert list(graph.judges()) == ["0", "1", "2"]
    assert graph.judge("1").name == "evaluate@1"


def test_the_projects_own_judgements_are_found(monkeypatch):
    monkeypatch.chdir(PROJECT)
    graph = read()
    assert [graph.judges()[k].name for k in ("0", "1")] == ["evaluate_sft", "evaluate@1"]


def test_only_what_changed_is_changed(finished):
    assert read().up_to_date(read().stages)
    finished.set(iterations={"1": {"prev": "0", "rise": 0.005}, "2": {"prev": "1", "rise": 0.01}})
    assert [name for name, stage in read().stages.items() if stage.changed] == ["align@2"]


@pytest.mark.parametrize("keys", [(1, 2), ("1", 2)])
def test_integer_keys_are_an_error_and_not_a_shorter_loop(toy, keys):
    toy.set(iterations={keys[0]: {"prev": "0", "rise": 0.0}, keys[1]: {"prev": "1", "rise": 0.0}})
    with pytest.raises(GraphError, match=r"sample@2.*must be strings"):
        read()


def test_an_empty_chain_is_an_error(toy):
    toy.set(iterations={})
    with pytest.raises(GraphError, match="empty"):
        read()


def test_targets_bring_what_they_depend_on(toy):
    graph = read()
    assert graph.closure(["evaluate@1"]) == {*("prepare", "sft", "evaluate_sft", "sample@1", "align@1", "evaluate@1")}
    assert {"evaluate@1", "evaluate@2"} <= graph.closure(["evaluate"])
    with pytest.raises(GraphError, match=r"no stage 'evalute'.*evaluate@1"):
        graph.closure(["evalute"])


def test_a_folder_without_a_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraphError, match="top folder"):
        read()


def test_discarded_outputs_are_gone_and_their_stage_changed(finished):
    discard_outputs("evaluate@2")
    assert not (finished.folder / "runs/2/metrics.json").exists()
    assert (finished.folder / "runs/1/metrics.json").exists()
    assert read().stages["evaluate@2"].changed


@pytest.mark.parametrize("content", ["", "# nothing\n", "stages: {}\n", "[]\n", "stages: 3\n"])
def test_a_pipeline_without_stages_is_an_error(toy, content):
    (toy.folder / "dvc.yaml").write_text(content)
    with pytest.raises(GraphError, match=r"dvc\.yaml"):
        read()
