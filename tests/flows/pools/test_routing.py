"""Which stages go to which pool, and what a stage needs from others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flows.graph import Graph, Stage
from flows.pools import lock
from flows.routing import RoutingError, pools_of, within

STAGES = {name: SimpleNamespace(meta=None) for name in ("prepare", "align@1", "align@2")}
STAGES["report"] = SimpleNamespace(meta={"pool": "cpu"})


@pytest.mark.parametrize(
    ("named", "pools"),
    [
        ({}, {"report": "cpu"}),
        ({"align": "gpu"}, {"align@1": "gpu", "align@2": "gpu", "report": "cpu"}),
        ({"align": "gpu", "align@2": "big"}, {"align@1": "gpu", "align@2": "big", "report": "cpu"}),
        ({"align": "gpu", "align@2": None}, {"align@1": "gpu", "report": "cpu"}),
        ({"report": None}, {}),
    ],
)
def test_settings_go_before_the_pipeline_and_one_stage_before_all_of_its_name(named, pools):
    assert pools_of(STAGES, {"compute": {"pools": named}}) == pools


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"alig": "gpu"}, "names alig, which dvc.yaml does not have; its stages are: prepare, align, report"),
        (["align"], "should be STAGE: POOL, found"),
        ({"align": 3}, "should be STAGE: POOL, found"),
    ],
)
def test_pools_of_no_stage_are_refused(named, says):
    with pytest.raises(RoutingError, match=says):
        pools_of(STAGES, {"compute": {"pools": named}})


def stage(name: str, upstream: tuple[str, ...] = (), deps: tuple[str, ...] = (), outs: tuple[str, ...] = ()) -> Stage:
    return Stage(name=name, upstream=upstream, deps=deps, outs=outs, changed=True)


def test_of_a_folder_that_others_write_into_a_stage_reads_their_outputs_and_of_an_output_the_part_it_names():
    maker, other = stage("a", outs=("data", "runs/1/policy")), stage("b", outs=("runs/10",))
    reader = stage("c", ("a", "b"), ("data/test.txt", "runs"), ("reports",))
    graph = Graph({one.name: one for one in (maker, other, reader)})

    found = {path: made_by.name for path, made_by in graph.inputs(reader).items()}
    assert found == {"data/test.txt": "a", "runs/1/policy": "a", "runs/10": "b"}
    assert [graph.leaf(one) for one in (maker, other, reader)] == [False, False, True]
    assert within("runs/1", "runs/10") is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("text", "no entry of dvc.lock"),
        ({"cmd": "x", "outs": [{"path": "../../etc", "md5": "0" * 32}]}, r"found \.\./\.\./etc; does the worker have"),
        ({"cmd": "x", "outs": []}, "found no outputs"),
        ({"cmd": "x", "surprise": 1}, "no entry of dvc.lock"),
    ],
)
def test_what_a_worker_hands_back_is_checked(entry, says):
    with pytest.raises(lock.LockEntryError, match=says):
        lock.check(stage("a", outs=("data",)), entry)
