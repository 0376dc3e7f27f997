"""The loop that the report's tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.report.loop import Loop


@pytest.fixture
def make_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loop]:
    """Write a loop into the temporary folder, which becomes the working directory; keywords as :class:`Loop`'s."""

    def make(**settings: Any) -> Loop:
        monkeypatch.chdir(tmp_path)
        return Loop(tmp_path, **settings).write()

    return make
