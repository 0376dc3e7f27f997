"""What holds for the repository as a whole: its lock, its graph, which folder may import which, its documents."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer
from dvc.repo import Repo
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from tasks.common import params
from tasks.common.code.closure import Project

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ["requirements.lock", "requirements/build.lock", "requirements/uv.lock", "requirements/gate.lock"]
FOLDERS = ["model", "tasks", "flows", "study", "profiles", "bootstrap", "examples", "results", "serving"]
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
STAGES = [
    "code",
    "prepare",
    "extract",
    "texts",
    "sft_ar",
    "sft_nar",
    "ceiling",
    "evaluate_sft",
    "nar_synthetic",
    "gap_sft",
]
STAGES += ["report", "register"]
STAGES_OF_AN_ITERATION = ["sample", "prefer", "align", "evaluate", "gap"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def stages():
    """The stages of the loop, as DVC resolves them."""
    return [stage for stage in Repo(str(ROOT)).index.stages if stage.path_in_repo == "dvc.yaml"]


# --- the lock ---------------------------------------------------------------------------------------------------


def locked(lock: str) -> dict[str, str]:
    """Each package's block of a lock, by name."""
    text = "\n".join(line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#"))
    blocks = re.split(r"\n(?=\S)", text.strip())
    return {canonicalize_name(re.split(r"[=\[ ]", block, maxsplit=1)[0]): block for block in blocks}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_version_and_a_hash(lock):
    for name, block in locked(lock).items():
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), f"{name} is not pinned"
        assert "--hash=sha256:" in block, f"{name} has no hash"


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_index_and_no_address(lock):
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links| @ ", (ROOT / lock).read_text())


def test_the_lock_covers_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]}
    blocks = locked("requirements.lock")
    for requirement in wanted:
        found = [
            version
            for name, block in blocks.items()
            if name == canonicalize_name(requirement.name)
            for version in re.findall(r"==([^\s;]+)", block.split("\\")[0].split(";")[0])
        ]
        assert found, f"{requirement.name} is not in requirements.lock; run `make lock`"
        assert all(requirement.specifier.contains(version) for version in found), f"{requirement}: locked {found}"


def test_the_gates_environment_is_the_extra_of_its_name_and_a_part_of_the_whole():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = (ROOT / "requirements/gate.in").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == extras["gate"]

    whole, gate = locked("requirements.lock"), locked("requirements/gate.lock")
    versions = {name: re.findall(r"==([^\s;]+)", block.split("\\")[0])[0] for name, block in gate.items()}
    assert not {"dvc", "prefect", "mlflow"} & set(gate)
    assert not {name for name, version in versions.items() if f"=={version} " not in whole[name]}


def test_every_package_that_the_code_imports_is_asked_for():
    # One that only another package brings would vanish with that package's next version.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    extras = (text for extra in project["optional-dependencies"].values() for text in extra)
    if_measured = {canonicalize_name(Requirement(text).name) for text in extras}
    distributions = {**packages_distributions(), "parselmouth": ["praat-parselmouth"]}  # one file, which 3.11 misnames
    for file in SOURCES:
        for module in {name.split(".")[0] for name in imports(file)} - sys.stdlib_module_names - set(FOLDERS):
            names = {canonicalize_name(name) for name in distributions.get(module, [module])}
            assert names & (asked | if_measured), f"{relative(file)} imports {module}; add it to pyproject.toml"


def test_the_package_that_needs_a_compiler_is_not_locked():
    assert "webrtcvad" not in locked("requirements.lock")
    assert "webrtcvad-wheels" in locked("requirements.lock")


# --- parameters and graph ---------------------------------------------------------------------------------------


def test_the_graph_has_every_stage_of_every_iteration(stages):
    # DVC drops a foreach over integer keys in silence, so the count is worth a test.
    iterations = params.load(ROOT / "params.yaml").iterations
    expected = [*STAGES, *(f"{stage}@{key}" for stage in STAGES_OF_AN_ITERATION for key in iterations)]

    assert sorted(stage.name for stage in stages) == sorted(expected)


def test_an_iteration_follows_from_its_predecessors_policy(stages):
    by_name = {stage.name: stage for stage in stages}
    for key, iteration in params.load(ROOT / "params.yaml").iterations.items():
        for name in (f"sample@{key}", f"align@{key}"):
            assert f"runs/{iteration.prev}/policy" in {dep.def_path for dep in by_name[name].deps}


def test_the_code_that_stages_depend_on_exists(stages):
    for stage in stages:
        for dep in stage.deps:
            if dep.def_path.split("/")[0] in FOLDERS:
                assert (ROOT / dep.def_path).exists(), f"{stage.name} depends on {dep.def_path}, which does not exist"


def stage_modules() -> list[str]:
    return sorted(set(re.findall(r"python -m (tasks\.[\w.]+)", (ROOT / "dvc.yaml").read_text())))


@pytest.mark.parametrize("name", stage_modules())
def test_every_stage_explains_itself(name):
    module = import_module(name if (ROOT / f"{name.replace('.', '/')}.py").is_file() else f"{name}.__main__")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer()
        app.command()(module.main)

    result = CliRunner().invoke(app, ["--help"])

    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_a_training_always_has_the_same_number_of_threads(stages):
    """Its sums, and so its bytes, depend on that: no share that another stage leaves, and in DVC's record."""
    closures = {command: Project(ROOT).closure(command) for command in stage_modules()}
    training = [stage for stage in stages if "model.training" in closures.get(command_of(stage), ())]
    assert {command_of(stage) for stage in training} >= {
        "tasks.policy",
        "tasks.nar",
        "tasks.nar.synthetic",
        "tasks.align",
    }
    for stage in training:
        assert (stage.meta or {}).get("cores") == "all", stage.addressing
        names = [name for dep in stage.deps for name in getattr(dep, "params", [])]
        assert "compute.threads" in names, stage.addressing


def command_of(stage):
    return re.search(r"python -m ([\w.]+)", str(stage.cmd))[1]


# --- who may import whom ----------------------------------------------------------------------------------------


@cache
def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text(), str(file))))


def imports(file: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, with dots."""
    found = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(file)}:{node.lineno}: a relative import; imports here name the folder"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


# What each folder may import of this project.
MAY_IMPORT = {
    "model": {"model"},
    "examples": {"model"},
    "tasks": {"tasks", "model"},
    "study": {"study", "tasks", "model"},
    "profiles": {"profiles", "tasks", "model"},
    "bootstrap": {"bootstrap", "tasks", "model"},
    "results": {"results", "study", "tasks", "model"},
    "serving": {"serving", "tasks", "model"},
    "flows": {"flows", "serving", "study", "profiles", "tasks", "model"},
}
# And of what drives it: only flows know Prefect and DVC's graph, only stages know MLflow.
MAY_NOT_IMPORT = {
    "model": {"dvc", "prefect", "mlflow"},
    "tasks": {"prefect"},
    "study": {"prefect"},
    "serving": {"dvc", "prefect"},
    "bootstrap": {"prefect", "mlflow"},
}


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_imports_point_one_way(file):
    folder = file.relative_to(ROOT).parts[0]
    imported = {name.split(".")[0] for name in imports(file)}

    assert imported & set(FOLDERS) <= MAY_IMPORT[folder]
    assert not imported & MAY_NOT_IMPORT.get(folder, set())


def test_the_rooms_are_the_commands_of_the_graph():
    # The gate compares anybody's audio: it is a command of its own, and no part of the graph.
    rooms = {path.name for path in (ROOT / "tasks").iterdir() if (path / "__init__.py").is_file()} - {"common", "gate"}
    loose = {path.name for path in (ROOT / "tasks").glob("*.py")} - {"__init__.py"}

    assert rooms == {name.split(".")[1] for name in stage_modules()}
    assert not loose, "a module of tasks/ lies in the room of its stage, or in common"


@pytest.mark.parametrize("file", [file for file in SOURCES if "tasks" in file.parts], ids=relative)
def test_a_room_imports_itself_and_common_only(file):
    room, *below = file.relative_to(ROOT / "tasks").parts
    allowed = {"common"} | ({room} if below else set())
    entered = {name.split(".")[1] for name in imports(file) if name.startswith("tasks.")}

    assert entered <= allowed


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_no_module_imports_a_command(file):
    # What two commands share lies in a module of its own; an import of a command would hide a dependency.
    own = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    commands = {name for name in imports(file) if name.endswith(".__main__")} | (
        imports(file) & {"tasks.nar.synthetic"}
    )

    assert not commands - {own}


@pytest.mark.parametrize(
    "file", [f for f in SOURCES if f.relative_to(ROOT).parts[0] in ("tasks", "flows")], ids=relative
)
def test_no_stage_or_flow_knows_a_familys_name(file):
    families = {path.stem for path in (ROOT / "model/layouts").glob("*.yaml")} - {"own", "template"}
    words = set(re.findall(r"[a-z]+[0-9]*", file.read_text().lower()))

    assert not words & families, "what is particular to a family belongs in its layout"


# --- nothing is unpickled ---------------------------------------------------------------------------------------

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def calls(file: Path) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in nodes(file) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_no_file_is_loaded_in_a_way_that_could_run_code(file):
    imported = imports(file)
    assert not {name.split(".")[0] for name in imported} & UNSAFE_MODULES
    for name, call in calls(file):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        where = f"{relative(file)}:{call.lineno}"
        if name == "torch.load":
            assert keywords.get("weights_only") == "True", f"{where}: torch.load without weights_only=True"
        if "yaml" in imported:
            assert name not in {"yaml.load", "yaml.unsafe_load"}, f"{where}: use yaml.safe_load"
        assert keywords.get("allow_pickle", "False") == "False", f"{where}: allow_pickle"
        assert keywords.get("trust_remote_code", "False") == "False", f"{where}: trust_remote_code"


# --- documents --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_documents_name_make_targets_that_exist(document):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)\b", document.read_text(), re.MULTILINE))

    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_in_documents_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]

    assert not missing
