"""A stage starts without what it does not use: importing transformers or MLflow takes longer than some stages do."""

import json
import subprocess
import sys

# Each imports what those above it do, and these packages in addition.
ORDER = [
    (("tasks.code", "tasks.texts", "tasks.nar.synthetic", "tasks.prepare", "tasks.report"), set()),
    (("tasks.extract", "tasks.nar"), {"torch"}),
    (("tasks.gap",), {"scipy", "sklearn"}),
    (("tasks.ceiling",), {"whisper"}),
    (("tasks.sample", "tasks.policy", "tasks.prefer", "tasks.align", "tasks.evaluate"), {"transformers", "accelerate"}),
    (("tasks.register",), {"mlflow"}),
]
SLOW = set().union(*(added for _, added in ORDER))
SCRIPT = """
import importlib, json, sys
found = {}
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    importlib.import_module(f"{name}.__main__") if hasattr(package, "__path__") else None
    found[name] = sorted(set(sys.argv[1].split(",")) & sys.modules.keys())
print(json.dumps(found))
"""


def test_a_stage_imports_no_slow_package_that_it_does_not_use():
    names = [name for names, _ in ORDER for name in names]
    command = [sys.executable, "-c", SCRIPT, ",".join(SLOW), *names]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    allowed: set[str] = set()
    for stages, added in ORDER:
        allowed |= added
        assert {name: sorted(set(found[name]) - allowed) for name in stages} == {name: [] for name in stages}
