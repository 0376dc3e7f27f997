"""Where to look after a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows import results


@pytest.fixture
def shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)

    def show() -> str:
        results.show([], Console(file=(file := io.StringIO())))
        return file.getvalue()

    return show


def test_the_files_of_a_run_without_servers_are_shown_with_the_commands_that_read_them(shown):
    Path("mlflow.db").touch()

    assert "MLflow      mlflow ui --backend-store-uri sqlite:///mlflow.db\n" in shown()
    assert "Prefect     PREFECT_HOME=.prefect prefect server start\n" in shown()


def test_the_servers_of_a_run_are_shown_by_their_addresses_without_passwords(shown, monkeypatch):
    Path("mlflow.db").touch()  # of an earlier run without a server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:5000")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")

    assert shown() == "MLflow      http://127.0.0.1:5000\nPrefect     http://127.0.0.1:4200\n"
