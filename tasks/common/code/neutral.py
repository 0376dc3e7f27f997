"""Code that reports on the work and computes nothing: an edit to it makes no stage stale.

This is the one place where such code is named. ``tests/tasks/common/code/test_closure.py`` checks that the modules
import nothing that computes.
"""

from __future__ import annotations

MODULES = {
    "tasks.common.code": "digests code, which decides what must run again or may be resumed, and not with which result",
    "tasks.common.environment": "names the machine and the libraries next to the numbers",
    "tasks.common.inputs": "compares what a stage rests on before and after it, and computes no result",
    "tasks.common.interrupts": "ends a command at Ctrl-C while its modules are imported",
    "tasks.common.orphans": "ends a stage whose DVC is gone",
    "tasks.common.progress": "draws progress bars on the terminal or in the log",
    "tasks.common.ranks": "tells the processes of a training apart, and hands their messages over",
    "tasks.common.secrets": "takes credentials out of messages",
    "tasks.common.stage": "turns errors into messages and notes how long a stage took",
    "tasks.common.tracking": "sends metrics, parameters and artifacts to MLflow; no stage reads them back",
    "logging": "writes log lines",
}
# Names whose calls, as statements of their own, are log lines, unless the module binds them to something else.
LOGGERS = {"print", "logger", "logging"}
STREAMS = {"sys.stderr", "sys.stdout"}  # where a log line may go
# Calls inside a log line that may come and go with it: they format, and change nothing. None iterates.
FORMATTING = {"abs", "float", "format", "int", "items", "keys", "len", "repr", "round", "str", "strip", "values"}
REDUCING = {"item", "max", "mean", "min", "sum"}  # likewise as methods without arguments; max(a, b) and min(a, b) too
SETTINGS = "tasks.common.params"  # checks params.yaml: settings.py says which parts change no value
BOUNDS = {"ge", "gt", "le", "lt", "min_length", "max_length"}  # arguments of a field that refuse a value or let it pass
# Functions and methods that a validator may call: they read.
READING_FUNCTIONS = {"ValueError", "abs", "all", "any", "len", "max", "min", "set", "sorted", "str", "sum", "zip"}
READING_METHODS = {"get", "items", "join", "keys", "realpath", "values"}
ITERATING = {"track"}  # functions of the modules above that hand on the items of their first argument
# What imports modules whose names are not written out as imports.
IMPORTING = {"__import__", "import_module", "run_module", "run_path", "spec_from_file_location"}


def is_neutral(module: str) -> bool:
    """Return whether a module, by its dotted name, is listed here or lies in a package that is."""
    parts = module.split(".")
    return any(".".join(parts[:end]) in MODULES for end in range(1, len(parts) + 1))
