"""Files that could not be written: one kind of error, whichever library writes them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise an ``OSError`` with its number where the disk refuses ``path``.

    PyTorch and safetensors raise errors of their own. PyTorch's comes while it handles the one of Python's file, and
    safetensors' names the number.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if isinstance(error.__context__, OSError) and error.__context__.errno:
            number = error.__context__.errno
        elif found := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(found[1])
        else:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
