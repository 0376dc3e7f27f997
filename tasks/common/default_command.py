"""A group of commands of which one may go unnamed: ``speechalign gate before after`` means ``gate compare``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

DEFAULT = "compare"
BAD_INPUT = 3  # exit status


class DefaultCommand(TyperGroup):
    """Runs ``compare`` where no command is named, shows its options in the group's own help, refuses empty values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the default command where none is named."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [DEFAULT, *args]
        _refuse_empty(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the commands, and then the usage of the one that needs no name."""
        super().format_help(ctx, formatter)
        command = self.commands[DEFAULT]
        command.format_help(type(ctx)(command, info_name=DEFAULT, parent=ctx), formatter)


def _refuse_empty(args: list[str]) -> None:
    """Refuse "", which a path would take for the current folder."""
    for place, arg in enumerate(args):
        if not arg.strip() or (arg.startswith("--") and arg.endswith("=")):
            after = f" after {args[place - 1]}" if place else ""
            named = arg if arg.strip() else f"the argument{after}"
            error = typer.BadParameter(f"{named} is empty; expected a value (is a variable of the shell not set?)")
            error.exit_code = BAD_INPUT
            raise error
