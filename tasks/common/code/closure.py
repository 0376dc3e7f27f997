"""The modules that a command imports, directly or through others, found by reading them: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from model.errors import SpeechAlignError
from tasks.common.code.neutral import IMPORTING, SETTINGS, is_neutral
from tasks.common.code.normal import digest, reduce
from tasks.common.code.settings import plain_types, without_checks


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
            CodeError: there is no such module, or one cannot be parsed or imports by a name that it works out.
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
                self._read[module] = self._reduced(module, file)
            found[module], named = self._read[module]
            waiting += [package for name in (module, *named) for package in _with_packages(name)]
        return {module: value for module, value in sorted(found.items()) if value}

    @cached_property
    def plain_types(self) -> set[str]:
        """The types of settings that change no value."""
        return plain_types(map(_parse, sorted(self.root.joinpath(*SETTINGS.split(".")).rglob("*.py"))))

    def _reduced(self, module: str, file: Path) -> tuple[str, set[str]]:
        tree = _parse(file)
        for line in self._hidden_imports(tree):
            raise CodeError(f"{file}, line {line}: imports must be written out, or no edit of the module would be seen")
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        computing = reduce(tree)
        named = set(_imports(computing, package))
        if is_settings := SETTINGS in _with_packages(module):
            computing = without_checks(computing, self.plain_types)
        return "" if is_settings and not computing.body else digest(computing), named

    def _hidden_imports(self, tree: ast.Module) -> Iterator[int]:
        """Yield the lines that import a module by a name that is not another project's, written out."""
        written_out: set[ast.AST] = set()
        for node in ast.walk(tree):  # a call comes before its parts
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                top = str(node.args[0].value).partition(".")[0]
                if top and "/" not in top and self._file(top) is None and not (self.root / top).is_dir():
                    written_out.add(node.func)
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            renamed = isinstance(node, ast.alias) and node.asname and node.name.rpartition(".")[2] in IMPORTING
            if renamed or (name in IMPORTING and node not in written_out):
                yield node.lineno  # type: ignore[attr-defined]

    def _file(self, module: str) -> Path | None:
        path = self.root.joinpath(*module.split("."))
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise CodeError(f"{file} cannot be parsed: {error}") from error


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
