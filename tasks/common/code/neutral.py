"""Code that reports on the work and computes nothing: an edit to it makes no stage stale.

This is the one place where such code is named. ``tests/tasks/common/code/test_closure.py`` checks that the modules
import nothing that computes.
"""

from __future__ import annotations

MODULES = {
    "tasks.common.code": "digests code, which decides what must run again or may be resumed, and not with which result",
    "tasks.common.environment": "names the machine and the libraries next to the numbers",
    "tasks.common.progress": "draws progress bars on the terminal or in the log",
    "tasks.common.stage": "turns errors into messages and notes how long a stage took",
    "tasks.common.tracking": "sends metrics, parameters and artifacts to MLflow; no stage reads them back",
    "logging": "writes log lines",
}
# Names whose calls, as statements of their own, are log lines.
LOGGERS = {"print", "logger", "logging"}
# Calls inside a log line that may come and go with it: they format, and change nothing.
FORMATS = {
    "abs",
    "float",
    "format",
    "int",
    "items",
    "join",
    "keys",
    "len",
    "repr",
    "round",
    "str",
    "strip",
    "values",
}
SETTINGS = "tasks.common.params"  # checks params.yaml: settings.py says which parts change no value
BOUNDS = {"ge", "gt", "le", "lt", "min_length", "max_length"}  # arguments of a field that refuse a value or let it pass
READING = FORMATS | {"add", "get", "realpath"}  # calls in a validator that change no setting
ITERATING = {"track"}  # functions of the modules above that hand on the items of their first argument


def is_neutral(module: str) -> bool:
    """Return whether a module, by its dotted name, is listed here or lies in a package that is."""
    parts = module.split(".")
    return any(".".join(parts[:end]) in MODULES for end in range(1, len(parts) + 1))
