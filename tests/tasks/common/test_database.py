"""MLflow's SQLite file is whole or absent, and what is wrong with one is said in seconds."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.common.tracking import database
from tasks.common.tracking.client import connect
from tasks.common.tracking.errors import TrackingError
from tests.conftest import REPOSITORY

CONNECT = "from tasks.common.tracking.client import connect; print(connect().get_experiment('0').name)"


def change(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as opened, opened:
        for statement in statements:
            opened.execute(statement)


def add_run(file: Path) -> None:
    change(file, "INSERT INTO runs (run_uuid, lifecycle_stage, experiment_id) VALUES ('a', 'active', 0)")


def connecting(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", CONNECT], cwd=folder, env=environment, **pipes)


def test_a_kill_while_the_tables_are_made_leaves_no_file_that_the_next_run_stumbles_over(tmp_path):
    child = connecting(tmp_path)
    half_made, deadline = tmp_path / ".mlflow.db.tmp", time.monotonic() + 60
    while not half_made.exists() or half_made.stat().st_size < 50_000:
        assert child.poll() is None and time.monotonic() < deadline, child.communicate()
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (tmp_path / "mlflow.db-journal").write_bytes(b"of an earlier file")
    assert not (tmp_path / "mlflow.db").exists()

    again = connecting(tmp_path)
    assert again.communicate(timeout=120)[0] == "Default\n"
    assert not half_made.exists() and not (tmp_path / "mlflow.db-journal").exists()


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE alembic_version"],
        ["UPDATE alembic_version SET version_num = '451aebb31d03'"],
        ["DROP TABLE alembic_version", "DROP TABLE runs"],
        ["DROP TABLE registered_models"],
        ["DELETE FROM alembic_version"],
        ["INSERT INTO alembic_version VALUES ('zzz')"],  # two heads
        ["ALTER TABLE runs DROP COLUMN deleted_time"],
        ["ALTER TABLE alembic_version RENAME COLUMN version_num TO v"],
    ],
)
def test_a_half_made_file_without_runs_may_be_made_again(sqlite, tmp_path, statements):
    change(tmp_path / "mlflow.db", *statements)
    assert not database._is_whole(tmp_path / "mlflow.db")


def test_a_whole_file_is_kept_and_an_empty_one_made(sqlite, tmp_path):
    assert database._is_whole(tmp_path / "mlflow.db")
    (tmp_path / "mlflow.db").write_bytes(b"")
    assert not database._is_whole(tmp_path / "mlflow.db")


def test_a_file_of_another_version_that_has_runs_is_kept_and_the_message_says_what_to_do(sqlite, tmp_path):
    file = tmp_path / "mlflow.db"
    add_run(file)
    change(file, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = file.read_bytes()
    with pytest.raises(TrackingError, match=r"mlflow\.db holds 1 runs .*`mlflow db upgrade sqlite:///.*mlflow\.db`"):
        connect()
    assert file.read_bytes() == before


def wreck(file: Path, how: str) -> None:
    whole = file.read_bytes()
    if how == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    elif how == "cut within a page":
        file.write_bytes(whole[:5000])
    elif how == "overwritten":
        file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    elif how == "another file":
        file.write_text("not a database, but long enough to be taken for one" * 100)
    else:
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("how", ["truncated", "cut within a page", "overwritten", "another file", "a folder"])
def test_a_damaged_file_is_one_message_in_seconds_and_stays_as_it_is(sqlite, tmp_path, how):
    file = tmp_path / "mlflow.db"
    add_run(file)
    wreck(file, how)
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"^\S*mlflow\.db.* move it away"):
        connect()
    assert time.monotonic() - started < 10
    assert file.exists()


def test_a_link_is_followed_and_one_to_nowhere_refused(sqlite, tmp_path):
    """A disk that is not mounted: a new, empty file in the place of the link would hide all runs."""
    file, elsewhere = tmp_path / "mlflow.db", tmp_path / "disk/real.db"
    add_run(file)
    elsewhere.parent.mkdir()
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert connect().get_experiment("0").name == "Default"
    with contextlib.closing(sqlite3.connect(elsewhere)) as opened:
        assert opened.execute("SELECT run_uuid FROM runs").fetchall() == [("a",)]
    elsewhere.rename(tmp_path / "away.db")
    with pytest.raises(TrackingError, match=r"mlflow\.db is a link to .*real\.db, which is not there; mount that disk"):
        connect()
    assert file.is_symlink() and not elsewhere.exists()


def test_a_pipe_is_refused(sqlite, tmp_path):
    (tmp_path / "mlflow.db").unlink()
    os.mkfifo(tmp_path / "mlflow.db")
    with pytest.raises(TrackingError, match=r"mlflow\.db should be MLflow's SQLite file, but is no file"):
        connect()


def test_a_file_that_cannot_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    def full(engine):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE runs (x)")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(utils, "_initialize_tables", full)
    with pytest.raises(sqlite3.OperationalError):
        database._make(tmp_path / "mlflow.db")
    assert not list(tmp_path.iterdir())


def test_a_locked_file_is_one_message_in_seconds(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "SECONDS_TO_READ", 0.2)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"mlflow\.db is locked by another program; close it"):
            connect()
    assert connect().get_experiment("0").name == "Default"


def test_a_process_that_hangs_while_it_opens_the_file_is_not_waited_for_without_end(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "SECONDS_TO_LOCK", 0.2)
    with (
        database.FileLock(f"{tmp_path}/mlflow.db.lock", is_singleton=False),
        pytest.raises(TrackingError, match="another process has been opening it"),
    ):
        connect()


def test_a_hot_journal_is_rolled_back_by_sqlite_and_not_lost(sqlite, tmp_path):
    """A kill in the middle of a write: SQLite's journal stays, and the file is whole once it has been played back."""
    file, code = tmp_path / "mlflow.db", "import sqlite3, os; c = sqlite3.connect('mlflow.db', isolation_level=None); "
    add_run(file)
    code += "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN'); c.execute('DELETE FROM runs'); "
    code += "c.execute('CREATE TABLE big (x)'); c.execute('INSERT INTO big VALUES (zeroblob(999999))'); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60)
    assert (tmp_path / "mlflow.db-journal").stat().st_size
    assert database._is_whole(file)
    with contextlib.closing(sqlite3.connect(file)) as opened:
        assert opened.execute("SELECT count(*) FROM runs").fetchone() == (1,)


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////data/mlflow.db?timeout=9", "/data/mlflow.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://host/db", None),
    ],
)
def test_only_a_local_file_is_looked_at(uri, file):
    assert database.file_of(uri) == (file and Path(file))
