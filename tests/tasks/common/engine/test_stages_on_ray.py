"""Stages write the same bytes on two Ray nodes as in one process, though a worker of each stage is killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tasks.common.engine.cluster import Cluster
from tests.tasks.common.engine import squares
from tests.tasks.common.engine.conftest import ADDRESS
from tests.tasks.common.engine.test_stages import computed_by, made, workspace

pytest.importorskip("ray", reason="Ray is an extra (pip install 'speechalign[ray]'), and not installed here")
pytestmark = pytest.mark.slow

__all__ = ["workspace"]  # a fixture


def test_sampling_extraction_and_judging_are_the_same_bytes_though_workers_are_killed(
    cluster: list[Path], workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed_by(workspace, "local", "auto")
    local = made(monkeypatch)
    computed_by(workspace, "ray", "auto", ADDRESS)
    assert made(monkeypatch) == local

    submit, killed = Cluster.submit, []

    def deadly(self: Cluster, work, shard):
        marker = tmp_path / f"killed-{id(self)}"
        killed.append(marker)
        return submit(self, partial(squares.dies_once, str(marker), work), shard)

    monkeypatch.setattr(Cluster, "submit", deadly)
    assert made(monkeypatch) == local
    assert len({*killed}) >= 3 and all(marker.exists() for marker in killed)
    assert not [path for folder in cluster for path in folder.rglob("*")]  # workers leave nothing behind
