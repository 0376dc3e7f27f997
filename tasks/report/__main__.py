"""``python -m tasks.report``: one self-contained page of the loop's results, ``reports/index.html``.

Reads the metrics, utterances, pairs and audio of each iteration, the ceiling, the data's cuts and rejected
files; writes HTML that needs no network. An iteration that was not run is shown as not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.common import params as parameters
from tasks.common import paths
from tasks.common.files import atomic_path
from tasks.common.stage import stage
from tasks.report import load, page


def write(output: Path) -> None:
    """Make the page from the files under the working directory."""
    html = page.render(load.read(parameters.load(), Path("params.yaml").read_text(encoding="utf-8")))
    with atomic_path(output) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")


@stage
def main(output: Annotated[Path, typer.Option(help="where to write the page")] = paths.REPORT) -> None:
    """Write the report page from the outputs of the other stages."""
    write(output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
