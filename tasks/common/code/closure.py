"""The modules that a command imports, directly or through others, found by reading them: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from model.errors import SpeechAlignError
from tasks.common.code.neutral import SETTINGS, is_neutral
from tasks.common.code.normal import digest, reduce
from tasks.common.code.settings import without_checks


class CodeError(SpeechAlignError):
    """A command or one of its modules cannot be read."""


class Project:
    """The Python modules below a folder. Each is read once."""

    def __init__(self, root: Path = Path()):
        self.root = root
        self._read: dict[str, tuple[str, set[str]]] = {}  # module -> its digest, the modules it names

    def closure(self, command: str) -> dict[str, str]:
        """Return module -> digest for what ``python -m <command>`` runs of this project.

        Neutral modules, and those of settings in which nothing changes a value, are left out.

        Raises:
            CodeError: there is no such module, or one cannot be parsed.
        """
        start = command if self._file(f"{command}.__main__") is None else f"{command}.__main__"
        if self._file(start) is None:
            raise CodeError(f"expected {command} to be a module or a package with a __main__.py; found neither")
        found: dict[str, str] = {}
        waiting = [start]
        while waiting:
            module = waiting.pop()
            file = self._file(module)
            if module in found or file is None or is_neutral(module):
                continue
            if module not in self._read:
                self._read[module] = _read(module, file)
            found[module], named = self._read[module]
            waiting += [package for name in (module, *named) for package in _with_packages(name)]
        return {module: value for module, value in sorted(found.items()) if value}

    def _file(self, module: str) -> Path | None:
        path = self.root.joinpath(*module.split("."))
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _read(module: str, file: Path) -> tuple[str, set[str]]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise CodeError(f"{file} cannot be parsed: {error}") from error
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    computing = reduce(tree)
    named = set(_imports(computing, package))
    if is_settings := SETTINGS in _with_packages(module):
        computing = without_checks(computing)
    return "" if is_settings and not computing.body else digest(computing), named


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield every dotted name that may be a module, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_packages(name: str) -> list[str]:
    """Return ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``: importing a module runs its packages too."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
