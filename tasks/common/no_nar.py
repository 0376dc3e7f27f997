"""The folder of a NAR that there is none of: the policy writes every level of the codec."""

from __future__ import annotations

from pathlib import Path

from tasks.common import paths
from tasks.common.files import write_json

NOTE = "none.json"
WHY = "the policy writes every level of the codec, so there is no NAR"


def write_no_nar(folder: Path) -> None:
    """Write the folder that stands for no NAR."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NOTE, {"why": WHY})


def has_nar() -> bool:
    """Say whether the loop has a NAR."""
    return not (paths.NAR / NOTE).is_file()
