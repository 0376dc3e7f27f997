"""The stage ``code`` runs before the flow looks at the graph, so an edit starts only the stages it matters to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.current import current
from flows.graph import Graph, GraphError, read
from flows.stage import RAN, repro

# Stands for tasks.code: what is written changes with the capital letters of the source only.
CODE = "grep -o '[A-Z]' source > code.txt && echo code >> ran"
PIPELINE = {
    "stages": {
        "code": {"cmd": CODE, "deps": ["source"], "outs": ["code.txt"]},
        "train": {"cmd": "cp code.txt model.txt", "deps": ["code.txt"], "outs": ["model.txt"]},
    }
}


@pytest.fixture
def coded(toy):
    Path("dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    Path("source").write_text("Loss")
    return toy


def stale(graph: Graph) -> list[str]:
    return [name for name, stage in graph.stages.items() if stage.changed]


def test_an_edit_that_matters_makes_stages_stale_and_another_none(coded):
    assert stale(current()) == ["train"]
    assert Path("ran").read_text() == "code\n"
    assert repro("train", 1, None, print).how == RAN
    assert stale(current()) == []
    assert Path("ran").read_text() == "code\n"  # nothing has changed: it did not run

    Path("source").write_text("Loss with a comment")
    assert stale(read()) == ["code"]
    assert stale(current()) == []

    Path("source").write_text("Double Loss")
    assert stale(current()) == ["train"]
    assert Path("ran").read_text() == "code\n" * 3


def test_code_that_cannot_be_read_is_an_error(coded):
    Path("source").write_text("nothing in capitals")
    with pytest.raises(GraphError, match="code: "):
        current()
