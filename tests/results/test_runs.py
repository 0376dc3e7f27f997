"""Keeping the small files of a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from results import runs, tables
from tasks.common.files import DataError
from tests.results import kept


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_small_files_are_kept_with_their_origin(tmp_path: Path) -> None:
    run = runs.keep("demo", kept.workspace(tmp_path / "work"), "make demo", commit="abc123")
    assert run.origin.commit == "abc123" and run.origin.machine == "Some CPU" and run.origin.command == "make demo"
    assert run.iterations() == ["0", "1"]
    files = {file.relative_to(run.folder).as_posix() for file in run.folder.rglob("*") if file.is_file()}
    assert {"dvc.lock", "params.yaml", "run.yaml", "runs/1/gap.json", "reports/study.md"} <= files
    assert not [file for file in files if file.endswith(".parquet")]
    assert runs.load("demo") == run and runs.load("other") is None


def test_a_study_is_kept_without_a_loop_of_the_workspaces_own(tmp_path: Path) -> None:
    work = kept.workspace(tmp_path / "work")
    loop = work / "study/results/loop/17/0"
    loop.mkdir(parents=True)
    (work / "runs/0/metrics.json").rename(loop / "metrics.json")
    with pytest.raises(DataError, match=r"no finished run: .*runs/0/metrics\.json not found.*make study"):
        runs.keep("study", work, "make study", commit="abc123")  # stopped before its table
    shutil.rmtree(work / "runs")
    (work / "dvc.lock").rename(work / "study/dvc.lock")
    run = runs.keep("study", work, "make study", commit="abc123")
    assert run.origin.machine == "Some CPU" and run.iterations() == []
    assert tables.origin(run).startswith("`make study` at commit `abc123`")
    assert tables.study(run, "dpo", "1", "long", "all", "wer") == "8.0 [7.0, 9.0]"
    assert (run.folder / "study/dvc.lock").is_file() and "results/loop" not in str(list(run.folder.rglob("*")))


def test_keeping_again_replaces_the_run_and_leaves_printed_outputs(tmp_path: Path) -> None:
    work = kept.workspace(tmp_path / "work")
    runs.keep("demo", work, "make demo", commit="abc123")
    file = runs.keep_output("demo", "speed", [sys.executable, "-c", "print('3.3x')"])
    (work / "runs/1/gap.json").unlink()
    run = runs.keep("demo", work, "make demo", commit="def456")
    assert run.origin.commit == "def456" and not (run.folder / "runs/1/gap.json").exists()
    first, *rest = file.read_text().splitlines()
    assert first.startswith("$ ") and first.endswith("print('3.3x')") and rest == ["3.3x"]


def test_a_command_that_fails_leaves_no_output() -> None:
    with pytest.raises(DataError, match="exit status 3"):
        runs.keep_output("demo", "speed", [sys.executable, "-c", "raise SystemExit(3)"])
    assert not list(Path().rglob("*.txt"))


@pytest.mark.parametrize("name", [".", "", "../docs", "/tmp/x", "a/b", "Demo", "demo\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / "results/runs.py"
    source.parent.mkdir()
    source.touch()
    with pytest.raises(DataError, match="name should have letters"):
        runs.keep(name, kept.workspace(tmp_path / "work"), "make demo", commit="abc123")
    with pytest.raises(DataError, match="name should have letters"):
        runs.keep_output(name, "speed", ["true"])
    with pytest.raises(DataError, match="name should have letters"):
        runs.keep_output("demo", name, ["true"])
    assert source.is_file() and [file.name for file in source.parent.iterdir()] == ["runs.py"]


def test_a_folder_that_holds_no_kept_run_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "results/notes/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(DataError, match="holds no kept run"):
        runs.keep("notes", kept.workspace(tmp_path / "work"), "make demo", commit="abc123")
    assert mine.is_file()


@pytest.mark.parametrize("content", ["[]", "{", '{"environment": []}'])
def test_damaged_metrics_of_a_run_are_not_kept(tmp_path: Path, content: str) -> None:
    work = kept.workspace(tmp_path / "work")
    (work / "runs/0/metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json"):
        runs.keep("demo", work, "make demo", commit="abc123")
    assert not (tmp_path / "results").exists()


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    work = kept.workspace(tmp_path / "work")
    (work / "dvc.lock").unlink()
    with pytest.raises(DataError, match=r"no finished run: dvc\.lock not found"):
        runs.keep("demo", work, "make demo", commit="abc123")
    assert not (tmp_path / "results").exists()


def test_without_git_the_commit_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(DataError, match="name it with --commit"):
        runs.keep("demo", kept.workspace(tmp_path / "work"), "make demo")


def test_a_run_that_does_not_name_its_processor_needs_it_named(tmp_path: Path) -> None:
    work = kept.workspace(tmp_path / "work")
    metrics = work / "runs/0/metrics.json"
    metrics.write_text(metrics.read_text().replace("Some CPU", ""))
    with pytest.raises(DataError, match="name it with --machine"):
        runs.keep("demo", work, "make demo", commit="abc123")
    assert runs.keep("demo", work, "make demo", commit="abc123", machine="Old CPU").origin.machine == "Old CPU"


def test_the_commit_is_marked_if_a_tracked_file_differs_from_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *names, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    Path("params.yaml").write_text("seed: 17\n")
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    Path("untracked").touch()
    commit = git("rev-parse", "HEAD")[:12]
    assert runs.commit_of(tmp_path) == commit
    Path("params.yaml").write_text("seed: 18\n")
    assert runs.commit_of(tmp_path) == f"{commit} with local changes"
