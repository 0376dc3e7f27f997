"""``speechalign plan``: what a run would take, per stage, before anything starts.

The speeds that the times rest on are in ``results/speeds.yaml``. It reads settings and counts the corpus, no more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field, ValidationError
from rich.console import Console
from rich.table import Table

from profiles.corpus_size import size_of
from profiles.estimate import Plan, Row
from profiles.merging import merged
from tasks.common import params as settings
from tasks.common import runtime, yaml12
from tasks.common.params import Params
from tasks.common.params.block import Above0, Block
from tasks.common.stage import one_message

SPEEDS = Path(__file__).parents[1] / "results/speeds.yaml"


class Speed(Block):
    """How fast one core or GPU works; audio in multiples of real time."""

    measured: str | None
    prepare: Above0
    extract: Above0
    judge: Above0
    sample_flops: Above0
    train_flops: Above0


class Fixed(Block):
    """Seconds of the stages whose time hardly grows with the corpus."""

    code: Above0
    texts: Above0
    report: Above0
    register_: Above0 = Field(alias="register")


class Speeds(Block):
    """``results/speeds.yaml``."""

    cpu: Speed
    cuda: Speed
    codec_size: Above0
    recognizer_size: Above0
    pairs_per_text: Above0
    seconds_per_word: Above0
    characters_per_word: Above0
    flac: Above0
    gap: Above0
    fixed: Fixed


def read_speeds(path: Path = SPEEDS) -> dict[str, Any]:
    """Return the speeds that the times rest on.

    Raises:
        ParamsError: a number that is missing, not above zero or not finite.
    """
    content = yaml12.loads(path.read_text(encoding="utf-8"))
    try:
        Speeds.model_validate(content)
    except ValidationError as error:
        raise settings.invalid(path, content, error, Speeds) from error
    return content


def shown(rows: list[Row], cores: int) -> Table:
    """Return the rows as a table; the time is divided by the cores that share the work."""
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "utterances", "speech h", "tokens", "steps", "pairs", "memory GiB", "disk GiB", "time"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("at")
    for r in rows:
        numbers = (r.utterances, r.speech, r.tokens, r.steps, r.pairs, r.memory, r.disk)
        table.add_row(r.stage, *map(_number, numbers), _time(r.hours / cores), r.speed)
    table.add_row("all", "", "", "", "", "", _number(max(r.memory for r in rows)), _number(sum(r.disk for r in rows)),
                  _time(sum(r.hours for r in rows) / cores), "")  # fmt: skip
    return table


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters / 1e6:.2g} M"


def _number(value: float) -> str:
    if not value:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _time(hours: float) -> str:
    """Return a length of time in the unit that a person would name it in."""
    for unit, size in (("days", 24.0), ("h", 1.0), ("min", 1 / 60)):
        if hours >= 1.5 * size:
            return f"{hours / size:.2g} {unit}" if hours < 100 * size else f"{hours / size:,.0f} {unit}"
    return f"{3600 * hours:.2g} s" if hours else ""


def _with(profile: str, path: str | None) -> Params:
    """Return the settings that ``speechalign profile use`` would make, without making them."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / f"params.yaml with the profile {profile}"
        candidate.write_text(merged(profile, path)[0], encoding="utf-8")
        return settings.load(candidate)


def _check(profile: str | None, path: str) -> None:
    """Refuse a location that was named and isn't there: published sizes would stand for another corpus.

    Raises:
        ParamsError: no folder, or no profile that it belongs to.
    """
    if profile is None:
        raise settings.ParamsError("--path goes with a profile; params.yaml has its own, prepare.path")
    if not path.startswith("s3://") and not Path(path).is_dir():
        raise settings.ParamsError(
            f"--path is {path!r}, which is no folder; name the corpus's folder, or leave --path out to plan with its "
            "published size"
        )


def main(
    profile: Annotated[str | None, typer.Argument(help="a file of profiles/; else params.yaml as it is")] = None,
    path: Annotated[str | None, typer.Option(help="location of the corpus, with a profile")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; else compute.device")] = None,
) -> None:
    """Print what a run would take, per stage: speech, tokens, steps, pairs, memory, disk and time. Starts nothing."""
    with one_message():
        if path is not None:
            _check(profile, path)
        params = settings.load() if profile is None else _with(profile, path)
        kind = device or runtime.device_of(params.compute.device).type
        if kind not in ("cpu", "cuda"):
            raise settings.ParamsError(f"--device should be cpu or cuda, but is {kind!r}")
        speeds = read_speeds()
        size = size_of(params, speeds)
        plan = Plan(params, size, speeds, kind)
        cores = params.compute.threads if kind == "cpu" else 1
        console = Console(width=140, highlight=False)
        console.print(
            f"{params.prepare.corpus}: {size.utterances:,} utterances, {size.hours:,.1f} h ({size.how})\n"
            f"AR {_millions(plan.ar)} parameters, {f'NAR {_millions(plan.nar)}' if plan.nar else 'no NAR'}, "
            f"{plan.rate:g} frames per second"
        )
        for note in plan.notes:
            console.print(f"note: {note}")
        console.print(shown(plan.rows(), cores))
        known = speeds[kind]["measured"] or "guessed for one H100, not measured"
        shared = f"{cores} core(s)" if kind == "cpu" else "one GPU"
        console.print(f"time: on {shared}; speeds: {known} (results/speeds.yaml)")


if __name__ == "__main__":
    typer.run(main)
