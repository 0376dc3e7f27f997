"""The gate by itself: what it needs, and what is shipped with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

from tests.conftest import REPOSITORY
from tests.tasks.gate.conftest import JUDGES, embedded

ONLY = """
import sys
from importlib.metadata import packages_distributions
allowed, roots = set(sys.argv.pop(1).split(",")), {"flows", "tasks", "model"}
names = {module: {d.lower().replace("_", "-") for d in dists} for module, dists in packages_distributions().items()}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in names and top not in roots and not names[top] & allowed:
            raise ModuleNotFoundError(f"{name} is not in requirements/gate.lock", name=name)
sys.meta_path.insert(0, Refuse())
from flows.cli import main
try:
    main()
finally:
    assert not {"dvc", "prefect", "mlflow", "pandas", "lhotse"} & set(sys.modules), "heavy"
"""


@embedded
def test_it_runs_with_the_packages_of_its_own_lock_alone(spoken):
    lock = (REPOSITORY / "requirements/gate.lock").read_text().splitlines()
    names = [line.split("==")[0].split("[")[0].lower() for line in lock if "==" in line and line[0].isalnum()]
    done = subprocess.run(
        [sys.executable, "-c", ONLY, ",".join(names), "gate", spoken / "a", spoken / "b", "--texts",
         spoken / "texts.csv", "--prompts", spoken / "prompts", *JUDGES, "--no-mos", "--json"],
        capture_output=True, text=True, cwd=spoken, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode in (1, 2) and done.stdout, done.stderr
    assert len(json.loads(done.stdout)["recordings"]) == 12


def test_the_templates_are_part_of_the_package():
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    shipped = {
        file.suffix for folder in ("gate", "common/page") for file in (REPOSITORY / "tasks" / folder).rglob("*.*")
    }
    assert {f"*{suffix}" for suffix in shipped - {".py", ".pyc"}} <= set(data)
