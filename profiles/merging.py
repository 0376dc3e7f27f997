"""A profile merged into ``params.yaml``, whose comments, quotes and order stay."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.common import params, yaml12
from tasks.common.files import DataError
from tasks.common.params.overlay import Change, overlay

FOLDER = Path("profiles")
PARAMS = Path("params.yaml")


def merged(name: str, path: str | None = None) -> tuple[str, list[Change]]:
    """Return ``params.yaml`` as text with the profile merged in, and what changed.

    A profile's block ``iterations`` replaces the chain of ``params.yaml``; every other block changes only the keys that
    it names.

    Args:
        name: a file of ``profiles/`` without its ending.
        path: for ``prepare.path``, instead of the profile's.

    Raises:
        DataError: no such profile, or it is not YAML.
        ParamsError: ``params.yaml`` is not valid as it is, or the profile does not fit it.
    """
    params.load(PARAMS)
    file = file_of(name)
    if name not in available():
        raise DataError(f"there is no profile {name!r}; expected one of {', '.join(available()) or 'none'}")
    try:
        profile = yaml12.loads(file.read_text(encoding="utf-8")) or {}
    except yaml12.YAMLError as error:
        raise DataError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(profile, dict):
        raise DataError(f"{file} should hold named blocks, but holds {type(profile).__name__}")
    if path is not None:
        profile.setdefault("prepare", {})["path"] = path
    yaml = _round_trip()
    content = yaml.load(PARAMS.read_text(encoding="utf-8"))
    changes = overlay(content, profile, str(file), whole_iterations=True)
    text = io.StringIO()
    yaml.dump(content, text)
    # A long list is written over several lines, each with a space at its end.
    return re.sub(r" +$", "", text.getvalue(), flags=re.MULTILINE), changes


def file_of(name: str) -> Path:
    """Return the file of a profile."""
    return FOLDER / f"{name}.yaml"


def available() -> list[str]:
    """Names of the profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _round_trip() -> YAML:
    """YAML that keeps comments, quotes and order."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 116  # as params.yaml is written
    yaml.indent(mapping=2, sequence=4, offset=2)
    # Otherwise every null would come out as nothing at all.
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.representer.add_representer(float, _represent_float)
    return yaml


def _represent_float(representer: Any, value: float) -> Any:
    """Write a number as YAML 1.1 reads it again: ``3.0e-05``, where ``3e-05`` would be a string."""
    mantissa, exponent, power = repr(value).partition("e")
    text = f"{mantissa}{'' if '.' in mantissa or not exponent else '.0'}{exponent}{power}"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)
