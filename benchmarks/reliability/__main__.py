"""Kill and break a loop again and again, and check what must hold: ``python -m benchmarks.reliability --kills 200``.

docs/reliability.md says what is killed, what is broken, and what must hold. By default the loop is the one of
``benchmarks/tiny_loop.py``, whose stages take seconds; ``--smoke`` takes the real stages on their smallest settings.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.reliability.campaign import Campaign
from benchmarks.reliability.workspace import Workspace


def main(
    kills: Annotated[int, typer.Option(min=1, help="how many")] = 200,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="no kill later than this")] = None,
    seed: Annotated[int, typer.Option(help="of the order and moments of kills")] = 1,
    smoke: Annotated[bool, typer.Option(help="the real stages on their smallest settings")] = False,
    folder: Annotated[Path | None, typer.Option(help="where it runs and stays; without it a temporary one")] = None,
) -> None:
    """Kill and break a loop, and print what was done and what did not hold."""
    place = (folder or Path(tempfile.mkdtemp(prefix="speechalign-"))).resolve()
    workspace = Workspace.lay_out(place, smoke)
    campaign = Campaign(workspace, seed)
    seconds = campaign.undisturbed()
    print(f"an undisturbed run takes {seconds:.0f} s", flush=True)
    started = time.monotonic()
    try:
        while campaign.kills < kills and (minutes is None or time.monotonic() - started < 60 * minutes):
            campaign.round(kills)
    finally:
        workspace.end()
        print(f"{(time.monotonic() - started) / 60:.0f} minutes, {campaign.kills} kills:")
        for what, count in sorted(campaign.done.items()):
            print(f"{count:5d}  {what}")
        print(f"{len(campaign.faults)} faults", flush=True)
    if campaign.faults:
        raise SystemExit(f"{place} is as it was then")
    if folder is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    typer.run(main)
