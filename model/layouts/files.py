"""Files of layouts: the shipped ones of this folder, a policy's own, and reading and writing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from model.layouts.spec import LayoutError, LayoutSpec
from model.unknown_keys import instead, keys_at

FOLDER = Path(__file__).parent
LAYOUT_FILE = "layout.yaml"  # in the folder of a policy


def shipped() -> list[str]:
    """Return the names of this folder's layouts."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def own_layout(folder: Path | None) -> Path:
    """Return the layout that lies in a policy's folder.

    Raises:
        LayoutError: there is none.
    """
    file = Path(folder or "") / LAYOUT_FILE
    if not file.is_file():
        raise LayoutError(
            f"no {LAYOUT_FILE} in {folder}: name the layout of its sequences by policy.layout (`speechalign layout "
            "list` shows the known ones)"
        )
    return file


def layout_file(name_or_file: str) -> Path:
    """Return the file of a layout: a name from :func:`shipped`, or a path that ends in ``.yaml``.

    Raises:
        LayoutError: there is no such layout.
    """
    path = FOLDER / f"{name_or_file}.yaml" if name_or_file in shipped() else Path(name_or_file)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise LayoutError(f"no layout {name_or_file!r}: expected one of {', '.join(shipped())}, or a YAML file")
    return path


def read_layout(name_or_file: str) -> LayoutSpec:
    """Read a layout by name or file.

    Raises:
        LayoutError: no such file, not YAML, or fields that are missing, unknown or impossible.
    """
    file = layout_file(name_or_file)
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LayoutError(f"{file} is not YAML in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise LayoutError(f"{file} should hold named fields, found {type(content).__name__}")
    try:
        return LayoutSpec.model_validate(content)
    except ValidationError as error:
        raise LayoutError(f"{file}: {_one_line(error)}") from error


def write_layout(spec: LayoutSpec, file: Path) -> None:
    """Write a layout as YAML: what it says, without comments."""
    content = spec.model_dump(exclude_defaults=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")


def _one_line(error: ValidationError) -> str:
    """Return every problem, each with its place in the file."""
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("list["))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            *block, key = problem["loc"]
            problems.append(f"{place}: unknown key; {instead(str(key), keys_at(LayoutSpec, block))}")
            continue
        found = "" if problem["type"] in ("missing", "value_error") else f", found {problem['input']!r}"
        problems.append(f"{place}: {message}{found}" if place else f"{message}{found}")
    return "; ".join(dict.fromkeys(problems))
