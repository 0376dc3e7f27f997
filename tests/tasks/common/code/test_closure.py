"""The modules of a command are those it imports, found without importing them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tasks.common.code.closure import CodeError, Project
from tasks.common.code.neutral import MODULES, SETTINGS, is_neutral
from tests.conftest import REPOSITORY

FILES = {
    "tasks/__init__.py": "",
    "tasks/say/__init__.py": "from tasks.say import words",
    "tasks/say/__main__.py": "def main():\n    from model.voice import speak\n    import numpy",
    "tasks/say/words.py": "from . import spelling",
    "tasks/say/spelling.py": "from ..common.progress import Bar",
    "tasks/common/__init__.py": "",
    "tasks/common/progress.py": "import model.unused",
    "model/__init__.py": "",
    "model/voice.py": "import model.deep.codec",
    "model/deep/__init__.py": "from model.deep.rates import RATE",
    "model/deep/codec.py": "import model.voice",
    "model/deep/rates.py": "RATE = 1",
    "model/unused.py": "",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Project(tmp_path)


def test_imports_are_followed_wherever_they_stand(project):
    assert set(project.closure("tasks.say")) == {
        *("tasks", "tasks.say", "tasks.say.__main__", "tasks.say.words", "tasks.say.spelling", "tasks.common"),
        *("model", "model.voice", "model.deep", "model.deep.codec", "model.deep.rates"),
    }


def test_a_command_that_is_not_there_or_cannot_be_parsed_is_named(project, tmp_path):
    with pytest.raises(CodeError, match=r"expected tasks\.sing to be a module or a package"):
        project.closure("tasks.sing")
    (tmp_path / "model/voice.py").write_text("def")
    with pytest.raises(CodeError, match=r"voice\.py cannot be parsed: .*line 1"):
        project.closure("tasks.say")


@pytest.mark.parametrize(
    "line",
    [
        "import importlib; importlib.import_module('model.unused')",
        "from importlib import import_module; import_module(name)",
        "from importlib import import_module as load; load('model.unused')",
        "__import__('model')",
        "import runpy; runpy.run_module('tasks.say')",
        "import runpy; runpy.run_path('model/unused.py')",
    ],
)
def test_an_import_that_is_not_written_out_is_refused(project, tmp_path, line):
    (tmp_path / "model/voice.py").write_text(line)
    with pytest.raises(CodeError, match=r"voice\.py, line 1: imports must be written out"):
        project.closure("tasks.say")


def test_another_projects_module_may_be_imported_by_its_name(project, tmp_path):
    (tmp_path / "model/voice.py").write_text("import importlib; importlib.import_module('torch.nn')")
    assert "model.voice" in project.closure("tasks.say")


def test_every_module_that_a_command_loads_is_found():
    command = "tasks.prefer"
    script = f"import sys, {command}.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    own = {name for name in done.stdout.split() if name.split(".")[0] in ("model", "tasks")}
    missed = own - Project(REPOSITORY).closure(command).keys()
    # What only a neutral module needs is not looked at.
    assert {name for name in missed if not (is_neutral(name) or name.startswith(SETTINGS))} == set()


def test_neutral_modules_exist_and_import_nothing_that_computes():
    project = Project(REPOSITORY)
    for name in MODULES.keys() - {"logging"}:
        path = REPOSITORY.joinpath(*name.split("."))
        files = list(path.glob("*.py")) or [path.with_suffix(".py")]
        for file in files:
            text = file.read_text().replace("from model.errors import", "")
            computing = {"numpy", "model", *({"torch"} if name != "tasks.common.environment" else ())}
            assert not any(f"import {word}" in text or f"from {word}" in text for word in computing)
    assert not any(is_neutral(module) for module in project.closure("tasks.align"))
