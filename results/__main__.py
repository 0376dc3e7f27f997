"""Results that the documents quote.

``keep NAME`` copies the small files of a finished run into ``results/NAME``, ``print NAME OUTPUT COMMAND`` keeps what a
command prints, ``write`` renders the blocks of README.md and docs/ from them, and ``check`` fails if a block differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from results import blocks, runs
from tasks.common.files import DataError, write_text
from tasks.common.stage import one_message

app = typer.Typer(add_completion=False, no_args_is_help=True, help=(__doc__ or "").replace("``", "`"))
Name = Annotated[str, typer.Argument(help="folder below results/")]


@app.command()
def keep(
    name: Name,
    workspace: Annotated[Path, typer.Option("--from", help="folder in which the run was made")] = Path(),
    command: Annotated[str, typer.Option(help="command that made the run")] = "make demo",
    commit: Annotated[str, typer.Option(help="commit of the code; by default the one checked out there")] = "",
    machine: Annotated[str, typer.Option(help="processor; by default the one noted with the run")] = "",
) -> None:
    """Copy the metrics, parameters and dvc.lock of a finished run into results/NAME."""
    run = runs.keep(name, workspace, command, commit, machine)
    typer.echo(f"{run.folder}: iterations {', '.join(run.iterations())}; {run.origin}")


@app.command(name="print", context_settings={"ignore_unknown_options": True})
def keep_output(
    name: Name,
    output: Annotated[str, typer.Argument(help="name of the kept output")],
    command: Annotated[list[str], typer.Argument(help="command to run")],
) -> None:
    """Run a command, such as a benchmark, and keep what it prints in results/NAME/printed."""
    typer.echo(runs.keep_output(name, output, command))


@app.command()
def write() -> None:
    """Render the blocks of README.md and docs/ from the kept runs."""
    for document in blocks.documents():
        write_text(document, blocks.render(document))
        typer.echo(document)


@app.command()
def check() -> None:
    """Fail if a block of README.md or docs/ differs from the kept runs."""
    stale = [f"{document}: {what}" for document in blocks.documents() for what in blocks.stale(document)]
    if stale:
        listed = "\n  ".join(stale)
        raise DataError(f"blocks that differ from results/; run `python -m results write`:\n  {listed}")


if __name__ == "__main__":
    with one_message():
        app()
