"""The code that a stage runs, compared with the digests that DVC files its results under."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.common.code.closure import CodeError, Project

SOURCES = Path(__file__).parents[3]  # the folder of the code that is running


def noted() -> tuple[str, str] | None:
    """Return the running command and its digests as noted; nothing where DVC does not run it or has noted none."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or not os.environ.get("DVC_STAGE"):
        return None
    command = spec.name.removesuffix(".__main__")
    folders = (Path(".code"), Path(command.partition(".")[0], ".code"))
    files = [file for folder in folders if (file := folder / f"{command}.txt").is_file()]
    return (command, files[0].read_text(encoding="utf-8")) if files else None


def check(expected: tuple[str, str] | None) -> None:
    """Check that the code is still as it was noted.

    Raises:
        CodeError: it is not, so a result may be another than the one that DVC would file under the noted digests.
    """
    if expected and lines_of(Project(SOURCES).closure(expected[0])) != expected[1]:
        raise CodeError(f"the code of {expected[0]} changed during the run; run again")


def lines_of(closure: dict[str, str]) -> str:
    """Return a closure as text, one module per line."""
    return "".join(f"{module} {digest}\n" for module, digest in closure.items())
