"""The loop that the report's tests read."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.report.loop import Loop


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Loop]:
    """Write a loop once per settings, which are keywords of :class:`Loop`."""
    loops: dict[str, Loop] = {}

    def get(**settings: Any) -> Loop:
        key = repr(sorted(settings.items()))
        if key not in loops:
            loops[key] = Loop(tmp_path_factory.mktemp("loop"), **settings).write()
        return loops[key]

    return get


@pytest.fixture
def make_loop(written: Callable[..., Loop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loop]:
    """Put a loop of its own into the temporary folder, which becomes the working directory."""

    def make(**settings: Any) -> Loop:
        loop = copy.copy(written(**settings))
        loop.root = shutil.copytree(loop.root, tmp_path / "loop")
        monkeypatch.chdir(loop.root)
        return loop

    return make
