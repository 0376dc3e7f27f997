"""Profiles: what ``params.yaml`` needs changed for another corpus or machine.

``python -m profiles show`` lists them, ``show NAME`` prints what one would change, ``use NAME`` changes
``params.yaml``, whose comments stay. A profile is a YAML file in ``profiles/`` with only the keys that differ.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.common import params
from tasks.common.files import DataError, atomic_path

FOLDER = Path("profiles")
PARAMS = Path("params.yaml")

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


def changes(base: dict[str, Any], profile: dict[str, Any], where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value now, value in the profile) of everything that differs.

    Raises:
        DataError: the profile has a key that ``params.yaml`` does not have, or a value where that has a block.
    """
    for key, value in profile.items():
        name = f"{where}{key}"
        # Iterations are named freely; everything else is a known key.
        if key not in base and where != "iterations.":
            raise DataError(
                f"the profile sets {name}, which {PARAMS} does not have; it has {', '.join(map(str, base))}"
            )
        now = base.get(key)
        if isinstance(now, dict) != isinstance(value, dict) and now is not None:
            raise DataError(f"the profile sets {name} to {value!r}, but {PARAMS} has {now!r} there")
        if isinstance(now, dict):
            yield from changes(now, value, f"{name}.")
        elif now != value:
            yield name, now, value


def merged(name: str, path: str | None = None) -> tuple[str, list[tuple[str, Any, Any]]]:
    """``params.yaml`` as text with the profile merged in, and what changed.

    Args:
        name: a file of ``profiles/`` without its ending. path: for ``prepare.path``, in place of the profile's.

    Raises:
        DataError: no such profile, or it does not fit ``params.yaml``.
        ParamsError: ``params.yaml`` is not valid as it is.
    """
    params.load(PARAMS)
    yaml = YAML()  # round trip: keeps comments, quotes and order
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    # Otherwise every null would come out as nothing at all.
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.representer.add_representer(float, _represent_float)
    base = yaml.load(PARAMS.read_text(encoding="utf-8"))
    file = FOLDER / f"{name}.yaml"
    if name not in available():
        raise DataError(f"there is no profile {name!r}; expected one of {', '.join(available()) or 'none'}")
    try:
        profile = YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}
    except YAMLError as error:
        raise DataError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(profile, dict):
        raise DataError(f"{file} should hold named blocks, but holds {type(profile).__name__}")
    if path is not None:
        profile.setdefault("prepare", {})["path"] = path
    differences = list(changes(base, profile))
    for key, _, value in differences:
        *blocks, last = key.split(".")
        block = base
        for part in blocks:
            block = block[part]
        block[last] = value
    text = io.StringIO()
    yaml.dump(base, text)
    return text.getvalue(), differences


def _represent_float(representer: Any, value: float) -> Any:
    """As YAML 1.1 reads a number again: ``3.0e-05``, where ``3e-05`` would be a string."""
    mantissa, exponent, power = repr(value).partition("e")
    text = f"{mantissa}{'' if '.' in mantissa or not exponent else '.0'}{exponent}{power}"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


def available() -> list[str]:
    """Names of the profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _describe(differences: list[tuple[str, Any, Any]]) -> str:
    return "\n".join(f"  {key}: {now} -> {value}" for key, now, value in differences) or "  nothing differs"


@app.command()
def show(name: Annotated[str | None, typer.Argument(help="a profile; without it all are listed")] = None) -> None:
    """List the profiles, or print what one would change in params.yaml."""
    with _one_message():
        typer.echo("\n".join(available()) if name is None else _describe(merged(name)[1]))


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="a file of profiles/ without its ending")],
    path: Annotated[str | None, typer.Option(help="where the corpus lies: a folder or s3://bucket/prefix")] = None,
) -> None:
    """Change params.yaml as the profile says; comments and all other values stay."""
    with _one_message():
        text, differences = merged(name, path)
        with atomic_path(PARAMS) as candidate:
            candidate.write_text(text, encoding="utf-8")
            try:
                params.load(candidate)
            except params.ParamsError as error:
                problem = str(error).replace(str(candidate), str(PARAMS))
                raise DataError(f"with the profile {name!r}, {problem}\n{PARAMS} stays as it was") from error
        typer.echo(f"{PARAMS}:\n{_describe(differences)}")


@contextlib.contextmanager
def _one_message() -> Iterator[None]:
    try:
        yield
    except (DataError, params.ParamsError) as error:
        typer.echo(f"profile: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
