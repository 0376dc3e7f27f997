"""A group of commands of which one may go unnamed: ``speechalign gate before after`` means ``gate compare``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DEFAULT = "compare"


class DefaultCommand(TyperGroup):
    """Runs ``compare`` where no command is named, and shows its options in the group's own help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the default command where none is named."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the commands, and then the usage of the one that needs no name."""
        super().format_help(ctx, formatter)
        command = self.commands[DEFAULT]
        command.format_help(type(ctx)(command, info_name=DEFAULT, parent=ctx), formatter)
