"""Profiles: what ``params.yaml`` needs changed for another corpus or machine.

A profile is a YAML file in ``profiles/`` with only the keys that differ. ``speechalign profile show`` lists them,
``show NAME`` prints what one would change, ``use NAME`` changes ``params.yaml``, whose comments stay. Only a block
``iterations`` is taken whole: it is a chain, and iterations that a profile does not name are left out.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from profiles.merging import PARAMS, available, file_of, merged
from tasks.common import params
from tasks.common.files import DataError, atomic_path
from tasks.common.params.overlay import Change
from tasks.common.stage import one_message

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Settings for another corpus or machine.")


@app.command()
def show(name: Annotated[str | None, typer.Argument(help="a profile; without it all are listed")] = None) -> None:
    """List the profiles, or print what one would change in params.yaml."""
    with one_message():
        print("\n".join(available()) if name is None else _describe(merged(name)[1]))


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="a file of profiles/ without its ending")],
    path: Annotated[str | None, typer.Option(help="location of the corpus: a folder or s3://bucket/prefix")] = None,
) -> None:
    """Change params.yaml as the profile says; comments and other values stay, iterations are taken as a whole."""
    with one_message():
        text, changes = merged(name, path)
        with atomic_path(PARAMS) as candidate:
            candidate.write_text(text, encoding="utf-8")
            try:
                params.load(candidate)
            except params.ParamsError as error:
                problem = str(error).replace(str(candidate), str(PARAMS))
                raise DataError(f"{file_of(name)}: with it, {problem}\n{PARAMS} stays as it was") from error
        print(f"{PARAMS}:\n{_describe(changes)}")


def _describe(changes: list[Change]) -> str:
    lines = [f"  {key}: {_as_yaml(before)} -> {_as_yaml(after)}" for key, before, after in changes]
    return "\n".join(lines) or "  nothing differs"


def _as_yaml(value: Any) -> str:
    """Return a value as params.yaml has it: null, not None."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


if __name__ == "__main__":
    app()
