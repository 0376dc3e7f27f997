"""Profiles merged into ``params.yaml``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from profiles import __main__ as profile
from tasks.common import params
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(profile.app, list(arguments))


@pytest.mark.parametrize("name", sorted(p.stem for p in (REPOSITORY / "profiles").glob("*.yaml")))
def test_every_profile_gives_valid_parameters_and_only_differences(folder: Path, name: str) -> None:
    before = params.load()
    _, differences = profile.merged(name)
    keys = [key for key, _, _ in differences]
    assert keys and len(keys) == len(set(keys))
    done = call("use", name)
    assert done.exit_code == 0, done.output
    assert all(key in done.output for key in keys)
    assert params.load() != before
    assert profile.merged(name)[1] == []  # nothing left to change


def test_comments_and_untouched_lines_stay(folder: Path) -> None:
    before = (folder / "params.yaml").read_text().splitlines()
    _, differences = profile.merged("fsdd", "s3://bucket/fsdd")
    assert call("use", "fsdd", "--path", "s3://bucket/fsdd").exit_code == 0
    after = (folder / "params.yaml").read_text().splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == len(differences) > 3
    assert all(a.partition("#")[2] == b.partition("#")[2] for a, b in changed)
    assert params.load().prepare.path == "s3://bucket/fsdd"


def test_show_changes_nothing(folder: Path) -> None:
    before = (folder / "params.yaml").read_bytes()
    assert "fsdd" in call("show").output
    assert "prepare.corpus: synthetic -> fsdd" in call("show", "fsdd").output
    assert "prepare.path: null -> corpora/fsdd" in call("show", "fsdd").output
    assert (folder / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "prepare: {corpse: fsdd}",
            "mine.yaml sets prepare.corpse, which params.yaml does not have; did you mean corpus?",
        ),
        ("seed: {a: 1}", "sets seed to {'a': 1}, but params.yaml has 17"),
        ("prepare: fsdd", "sets prepare to 'fsdd'"),
        ("prepare: [", "is not valid YAML"),
        ("- a", "should hold named blocks"),
        ("prepare: {corpus: fsdd}", "prepare.path must say where"),
        ("sft_ar: {lr: -1.0}", "profiles/mine.yaml: with it, params.yaml: sft_ar.lr: "),
        ('iterations: {"2": {prev: "1"}}', 'with it, params.yaml: iterations.2.prev is "1", but only'),
    ],
)
def test_wrong_profile_is_one_message_and_changes_nothing(folder: Path, content: str, message: str) -> None:
    before = (folder / "params.yaml").read_bytes()
    (folder / "profiles" / "mine.yaml").write_text(content)
    done = call("use", "mine")
    assert done.exit_code == 1 and message in done.output.replace("\n", " ")
    assert (folder / "params.yaml").read_bytes() == before
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("name", ["nope", "../params"])
def test_unknown_profile_names_the_known_ones(name: str) -> None:
    done = call("use", name)
    assert done.exit_code == 1 and "expected one of folder, fsdd" in done.output


def test_a_profiles_iterations_are_the_whole_chain(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    chain = 'iterations: {"1": {prev: "0", beta: 0.2}, "more": {prev: "1", beta: 0.3}}'
    (folder / "profiles" / "mine.yaml").write_text(chain)
    done = call("use", "mine")
    assert done.exit_code == 0 and "iterations.2: {'prev': '1', 'beta': None} -> left out" in done.output
    assert {key: i.beta for key, i in params.load().iterations.items()} == {"1": 0.2, "more": 0.3}
    after = (folder / "params.yaml").read_text()
    assert after.partition("\nevaluate:")[2] == before.partition("\nevaluate:")[2]
    assert after.count("#") == before.count("#")


def test_a_profile_may_have_one_iteration(folder: Path) -> None:
    (folder / "profiles" / "mine.yaml").write_text('iterations: {"1": {prev: "0"}}')
    assert call("use", "mine").exit_code == 0
    assert [*params.load().iterations] == ["1"]


def test_the_documents_first_run_on_little_is_a_profile(folder: Path) -> None:
    document = (REPOSITORY / "docs/your-model.md").read_text(encoding="utf-8")
    [shown] = [block for block in re.findall(r"```yaml\n(.*?)```", document, re.DOTALL) if "iterations:" in block]
    (folder / "profiles" / "mine.yaml").write_text(shown)
    assert call("use", "mine").exit_code == 0
    assert params.load().prefer.source == "golden" and [*params.load().iterations] == ["1"]
