"""Fixtures of the tests of listening tests."""

import pytest
from starlette.testclient import TestClient

from tasks.prefer.votes.guard import LOOPBACK
from tasks.prefer.votes.server import Test, app
from tests.tasks.prefer.votes import listening


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A listening test of ten texts and its key; read only."""
    return listening.written(tmp_path_factory.mktemp("test"), texts=10)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two systems' folders of three texts, as the current folder."""
    listening.systems(tmp_path, texts=3, seconds=0.3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(made, tmp_path):
    """Serve the test with votes of its own; ``open_`` starts it (again)."""
    out, key = made
    for file in out.iterdir():
        if file.suffix in (".flac", ".json"):
            (tmp_path / file.name).hardlink_to(file)
    tests = []

    def open_(token="", hosts=LOOPBACK, per_rater=None, stop=True):
        while tests:
            tests.pop().store.close()
        tests.append(Test(tmp_path, key, per_rater, stop, lambda line: None))
        return TestClient(app(tests[-1], token, hosts), base_url=listening.HERE, raise_server_exceptions=False)

    yield tmp_path, key, open_
    while tests:
        tests.pop().store.close()
