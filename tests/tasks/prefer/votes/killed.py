"""A server of a listening test that is killed while it writes: ``python -m … WHERE N serve FOLDER …``.

The kill comes when half of the Nth line is written (``half``), before it is on disk (``written``), or before it is
acknowledged (``synced``).
"""

import os
import signal
import sys

from tasks.prefer.votes import store
from tasks.prefer.votes.__main__ import app


class Killer:
    """Stands for ``os`` in the store, and counts lines."""

    def __init__(self, where: str, number: int) -> None:
        self._where, self._left = where, number

    def __getattr__(self, name: str):
        return getattr(os, name)

    def write(self, handle: int, line: bytes) -> int:
        self._left -= 1
        if self._left == 0 and self._where == "half":
            os.write(handle, line[: len(line) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return os.write(handle, line)

    def fsync(self, handle: int) -> None:
        if self._left == 0 and self._where == "written":
            os.kill(os.getpid(), signal.SIGKILL)
        os.fsync(handle)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    store.os = Killer(sys.argv[1], int(sys.argv[2]))
    app(args=sys.argv[3:])
