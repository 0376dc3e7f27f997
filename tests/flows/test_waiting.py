"""Runs in one folder: one at a time, and of those that want the same, one waits."""

import threading
from pathlib import Path

import pytest

from flows import waiting


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    monkeypatch.setattr(waiting, "SECONDS", 0.01)


class Run(threading.Thread):
    """A run that wants ``work``, and goes on until :meth:`finish`."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.said = work, []
        self.waits, self.works, self.may_end = threading.Event(), threading.Event(), threading.Event()
        self.start()

    def run(self):
        with waiting.turn(self._say, self.work):
            self.works.set()
            self.may_end.wait(30)

    def _say(self, message):
        self.said.append(message)
        self.waits.set()

    def finish(self):
        self.may_end.set()
        self.join(30)
        assert not self.is_alive()


def test_of_runs_that_want_the_same_one_waits_and_the_others_are_needless():
    first = Run("a")
    assert first.works.wait(30)
    second = Run("a")
    assert second.waits.wait(30) and "another run in this folder, process" in second.said[0]
    with pytest.raises(waiting.NeedlessError, match=r"another run waits to do the same, once process \d+, since"):
        Run.run(second)
    first.finish()
    assert second.works.wait(30)
    third = Run("a")  # the second one may have looked at the data already
    assert third.waits.wait(30)
    second.finish()
    assert third.works.wait(30)
    third.finish()


@pytest.mark.parametrize("works", [("a", "b"), (None, None), ("a", None)])
def test_runs_that_want_something_else_or_that_somebody_waits_for_all_get_their_turn(works):
    first = Run("a")
    assert first.works.wait(30)
    others = [Run(work) for work in works]
    assert all(other.waits.wait(30) for other in others)
    first.finish()
    for other in others:
        other.may_end.set()
    assert all(other.works.wait(30) for other in others)
