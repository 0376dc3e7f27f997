"""DVC's list of files in use, which a kill can leave cut short: ``python -m flows.dvc_lock`` empties such a list.

DVC writes ``.dvc/tmp/rwlock`` in place. After a ``kill -9`` (or a full disk) at that moment it holds no JSON, and every
later DVC command in the folder refuses to start. ``speechalign run`` and ``make repro`` empty it first.
"""

from __future__ import annotations

import json
from pathlib import Path

FILE = Path(".dvc/tmp/rwlock")


def empty_if_torn(workspace: Path = Path()) -> bool:
    """Empty the list if it is not whole, and return whether it was so.

    DVC's own guard is held meanwhile, so a list that a living process is writing is never taken for a torn one. Entries
    of such processes are lost with it: two runs in one folder already wait for one another (:mod:`flows.waiting`).
    """
    path = workspace / FILE
    if not _torn(path):
        return False
    from dvc.lock import LockError, make_lock

    try:
        with make_lock(str(path.with_suffix(".lock")), tmp_dir=str(path.parent)):
            if not _torn(path):  # it was being written a moment ago
                return False
            path.unlink()
            return True
    except LockError:  # the process that holds the guard will say what is wrong
        return False


def _torn(path: Path) -> bool:
    try:
        return not isinstance(json.loads(path.read_bytes()), dict)
    except FileNotFoundError:
        return False
    except ValueError:
        return True


if __name__ == "__main__":
    if empty_if_torn():
        print(f"{FILE} was cut short by a kill: emptied")
