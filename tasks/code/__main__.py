"""Stage ``code``: what each command computes, as digests of its modules. ``python -m tasks.code``

Every other stage depends on the file of its own command. An edit that changes what a command computes makes its stages
stale; a changed comment makes none. Each file has one line per module that the command imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model.codecs.facts import PUBLISHED_FACTS
from tasks.common import params
from tasks.common.code.closure import Project
from tasks.common.code.running import lines_of
from tasks.common.frame_parallel import check_settings
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.start import check_codec_kind, start_folder


def commands(folder: Path) -> list[str]:
    """Return the modules and packages below a folder that ``python -m`` runs."""
    files = [file for file in folder.rglob("*.py") if 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")]
    return sorted(".".join(file.with_suffix("").parts).removesuffix(".__main__") for file in files)


def check_start(settings: Params) -> None:
    """Refuse what does not fit the start policy, before hours of extraction; files that are not here are not read.

    Raises:
        InputError: the codec is of another kind, or the policy cannot be aligned in this way. LayoutError: the policy
            has no layout.
    """
    start, codec = start_folder(settings, "ar"), settings.models.codec
    if start is not None:
        check_settings(start, settings)
    if (start is None or start.is_dir()) and (codec in PUBLISHED_FACTS or (Path(codec) / "config.json").is_file()):
        check_codec_kind(settings)


@stage
def main(
    folder: Annotated[Path, typer.Argument(help="where the commands lie")] = Path("tasks"),
    out: Annotated[Path, typer.Argument(help="folder for the digests")] = Path(".code"),
) -> None:
    """Write, for each command below a folder, the digests of the modules it imports.

    The first stage of the loop, it also refuses settings that make no sense, before any other stage's outputs are
    removed.
    """
    if folder == Path("tasks") and Path("params.yaml").is_file():
        check_start(params.load())
    project = Project()
    closures = {command: project.closure(command) for command in commands(folder)}
    out.mkdir(exist_ok=True)
    for command, modules in closures.items():
        (out / f"{command}.txt").write_text(lines_of(modules), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
