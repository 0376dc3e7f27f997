"""An edit makes stale the stages whose results it may change, and no other, according to DVC itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import networkx as nx
import pytest
import yaml
from dvc.repo import Repo

from tasks.code.__main__ import main
from tasks.common.code.closure import Project
from tasks.common.code.neutral import SETTINGS
from tasks.common.code.normal import digest, reduce
from tasks.common.code.settings import without_checks
from tests.conftest import REPOSITORY

PIPELINES = {"dvc.yaml": ".code", "study/dvc.yaml": "study/.code", "bootstrap/dvc.yaml": "bootstrap/.code"}
EVERYTHING_THAT_READS_SPEECH = {
    *("policy", "nar", "nar.synthetic", "ceiling", "evaluate", "gap", "sample", "prefer", "align", "register"),
}
# Files, what is replaced in the one that has it, with what, and the commands that must rerun: at least, or exactly.
EDITS = {
    "doubled SFT loss": ("tasks/policy", r"-token_logprobs\(", "-2 * token_logprobs(", {"policy"}, True),
    "voice prompts": ("tasks/common", r"\[seed, index\]", "[index, seed]", EVERYTHING_THAT_READS_SPEECH, False),
    "reordered vocabulary": (
        "model",
        r"range\(5\)",
        "reversed(range(5))",
        {"policy", "sample", "prefer", "align", "evaluate", "nar.synthetic", "register"},
        False,
    ),
    "broken edit_counts": (
        "model",
        r"out\.substitutions, out",
        "0, out",
        {"prefer", "evaluate", "ceiling", "nar.synthetic", "register"},  # gap reads what they write
        False,
    ),
    "AdamW's betas": ("model", r"0\.9, 0\.98", "0.9, 0.999", {"policy", "nar", "nar.synthetic", "align"}, True),
}
NEUTRAL = {
    "comment": ("model", r"(?m)^(@torch\.inference_mode\(\))$", r"# A comment.\n\1"),
    "docstring": ("model", r'"""', '"""Another beginning. '),
    "log line": ("tasks/policy", r"held-out loss", "loss on other texts"),
    "progress bar": ("tasks", r"nar_synthetic codes", "codes"),
    "MLflow metric": ("tasks/policy", r'"sft_ar/held_out_loss"', '"sft_ar/other"'),
    "progress module": ("tasks/common", r"LOG_EVERY_SECONDS = 5\.0", "LOG_EVERY_SECONDS = 50.0"),
    "MLflow wrapper": (
        "tasks/common",
        r"SECONDS, POINTS = 5\.0, 500",
        "SECONDS, POINTS = 1, 9",
    ),
}


def edit(folder: str, pattern: str, replacement: str) -> None:
    """Replace the first match in the first file below ``folder`` that has one."""
    for file in sorted(Path(folder).rglob("*.py")):
        changed, count = re.subn(pattern, replacement, file.read_text(), count=1)
        if count:
            file.write_text(changed)
            return
    raise AssertionError(f"nothing in {folder} matches {pattern}: the test's edit must follow the code")


def stages(pipeline: str) -> dict[str, dict]:
    content = yaml.safe_load((REPOSITORY / pipeline).read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


def command_of(stage: dict) -> str:
    return stage["cmd"].split()[2]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for name in ("model", "tasks"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "checkpoints").mkdir()  # without it checkpoints/policy would be a name on the Hub
    return folder


@pytest.fixture
def copy(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code alone."""
    shutil.copytree(origin, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def original() -> dict[str, dict[str, str]]:
    project = Project(REPOSITORY)
    return {command_of(stage): project.closure(command_of(stage)) for stage in stages("dvc.yaml").values()}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_that_matters_changes_the_digests_of_its_stages(copy, original, name):
    folder, pattern, replacement, expected, exactly = EDITS[name]
    edit(folder, pattern, replacement)
    project = Project()
    rerun = {command.removeprefix("tasks.") for command in original if project.closure(command) != original[command]}
    assert expected <= rerun
    assert not exactly or rerun == expected
    assert not rerun & {"prepare", "extract"}


@pytest.mark.parametrize("name", NEUTRAL)
def test_an_edit_that_computes_nothing_changes_none(copy, original, name):
    edit(*NEUTRAL[name])
    project = Project()
    assert {command: project.closure(command) for command in original} == original


def mutated(text: str) -> str:
    """Return a module that computes something else: its last ``return`` returns the contrary, or a name is added."""
    tree = ast.parse(text)
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    if returns:
        returns[-1].value = ast.UnaryOp(ast.Not(), returns[-1].value or ast.Constant(None))
    else:
        tree.body.append(ast.parse("mutated = 1").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def test_a_mutation_of_any_module_changes_every_stage_that_imports_it(original):
    modules = {module: value for closure in original.values() for module, value in closure.items()}
    assert len(modules) > 50
    types = Project(REPOSITORY).plain_types
    for module, value in modules.items():
        path = REPOSITORY.joinpath(*module.split("."))
        text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        of = partial(without_checks, types=types) if module.startswith(SETTINGS) else lambda tree: tree
        assert digest(of(reduce(ast.parse(ast.unparse(ast.parse(text)))))) == value, f"{module}: the layout counts"
        assert digest(of(reduce(ast.parse(mutated(text))))) != value, f"{module}: an edit does not count"


# --- with DVC ---------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(copy: Path) -> Iterator[Repo]:
    """Return the loop as DVC sees it after a run: all dependencies and outputs are there, each with a word in it."""
    main(Path("tasks"), Path(".code"))
    Repo.init(".", no_scm=True).close()
    with Repo(".") as repo:
        for stage in repo.index.stages:
            for item in (*stage.deps, *stage.outs):
                path = Path(item.def_path)
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.mkdir() if "." not in path.name else path.write_text(item.def_path)
                    if path.is_dir():
                        (path / "file").write_text(item.def_path)
        repo.commit(force=True)
    with Repo(".") as repo:
        yield repo


def stale(repo: Repo) -> set[str]:
    """Bring ``code`` up to date as a run does first; return the stages that are not."""
    repo.reproduce("code", single_item=True)
    repo._reset()
    return changed(repo)


def changed(repo: Repo) -> set[str]:
    with repo.lock:
        return {stage.name for stage in repo.index.stages if stage.changed()}


def test_dvc_reruns_what_an_edit_changes_and_nothing_for_a_comment(finished, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert changed(finished) == set()
    for neutral in ("comment", "log line", "MLflow wrapper"):
        edit(*NEUTRAL[neutral])
    assert stale(finished) == set()
    template = Path("tasks/report/templates/page.html.j2")
    template.write_text(template.read_text() + "\n")
    assert stale(finished) == {"report"}
    edit(*EDITS["doubled SFT loss"][:3])
    assert stale(finished) == {"report", "sft_ar"}
    graph = finished.index.graph
    above = nx.descendants(graph.reverse(), next(stage for stage in graph if stage.name == "sft_ar"))
    untouched = {stage.name for stage in graph if stage not in above} - {"sft_ar"}
    assert untouched == {"code", "prepare", "extract", "texts", "sft_nar", "ceiling"}


def test_a_model_card_reruns_nothing_and_its_weights_all_that_read_them(finished):
    Path("checkpoints/codec/README.md").write_text("Another card.")
    assert changed(finished) == set()
    Path("checkpoints/codec/model.safetensors").write_text("other weights")
    finished._reset()
    readers = {"extract", "sft_ar", "sft_nar", "ceiling", "evaluate_sft", "nar_synthetic", "register"}
    assert {name for name in changed(finished) if "@" not in name} == readers


# --- what is declared -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_stage_depends_on_the_code_of_its_own_command_and_lists_no_python(pipeline):
    for name, stage in stages(pipeline).items():
        if name == "code":
            assert stage["outs"] == [PIPELINES[pipeline]]
            assert {"model", "tasks"} <= set(stage["deps"])
            folder = Path(pipeline).parent
            if str(folder) != ".":
                modules = {str(folder / file.name) for file in (REPOSITORY / folder).glob("*.py")}
                assert {dep for dep in stage["deps"] if dep.endswith(".py")} == modules
            continue
        assert f"{PIPELINES[pipeline]}/{command_of(stage)}.txt" in stage["deps"], name
        assert not [dep for dep in stage["deps"] if dep.endswith(".py")], name


def test_other_files_that_a_command_reads_are_listed(original):
    """A module names the files and folders that lie next to it, such as templates."""
    for name, stage in stages("dvc.yaml").items():
        for module in original[command_of(stage)]:
            file = REPOSITORY.joinpath(*module.split(".")).with_suffix(".py")
            if not file.is_file():
                continue  # a package, which holds no code of its own here
            constants = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
            for path in file.parent.iterdir():
                if path.name in constants and path.suffix != ".py" and not (path / "__init__.py").is_file():
                    read = str(path.relative_to(REPOSITORY))
                    assert any(read == dep or read.startswith(f"{dep}/") for dep in stage["deps"]), f"{name}: {read}"
