"""Is system B better than system A, from two folders of audio? Nothing is trained; docs/gate.md describes every step.

The last line begins with Better, Worse or Not shown. Bad input gives one message, which begins with error.

Exit status: 0 better, 1 worse, 2 not shown, 3 bad input or an answer that can't be written, 4 a fault of this program.

\b
Examples:
  speechalign gate before/ after/ --texts texts.csv
  speechalign gate before/ after/ --texts texts.csv --out gate.html
  speechalign gate A/ B/ --texts texts.csv --against best/ --margin mos=0.05
  speechalign gate table A/ B/ C/ --texts texts.csv --by wer
  speechalign gate power --texts 400 --draws 4 --wer 0.05

`compare` need not be named; its options come last here.
"""

# Torch and the models are imported inside the commands, after everything that bad input could end.

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.errors import InputError
from tasks.common.default_command import BAD_INPUT, DEFAULT, DefaultCommand
from tasks.common.stage import one_message
from tasks.gate import output
from tasks.gate.options import (
    Device,
    Margin,
    Mos,
    Prompts,
    Recognizer,
    Resamples,
    Second,
    Seed,
    Texts,
    Voice,
)

if TYPE_CHECKING:
    from tasks.gate.judges import Named

FAULT = 4  # exit status


class Answers(DefaultCommand):
    """The gate's commands; usage errors are bad input."""

    def invoke(self, ctx: Any) -> Any:
        """Give an unknown option the exit status of bad input, not that of "not shown"."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message"):
                error.exit_code = BAD_INPUT  # type: ignore[attr-defined]
            raise


app = typer.Typer(cls=Answers, add_completion=False, no_args_is_help=True, help=__doc__)


@app.command(DEFAULT)
def compare(
    before: Annotated[str, typer.Argument(help="folder of system A's recordings, or s3://")],
    after: Annotated[str, typer.Argument(help="folder of system B's recordings")],
    texts: Texts,
    prompts: Prompts = None,
    against: Annotated[
        list[str] | None, typer.Option(help="folder of another system that B must not be worse than; may be repeated")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="page to write: audio side by side, worst first")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with a row per recording")] = False,
    github: Annotated[bool, typer.Option(help="write a job summary for GitHub Actions")] = False,
    margin: Margin = None,
    recognizer: Recognizer = "small.en",
    second: Second = "pocketsphinx",
    voice: Voice = "none",
    mos: Mos = True,
    examples: Annotated[int, typer.Option(min=0, help="texts on the page, those with the largest losses first")] = 20,
    device: Device = "auto",
    resamples: Resamples = 4000,
    seed: Seed = 0,
) -> None:
    """Compare two systems: is B better than A, and was it bought with something else?"""
    with _one_answer():
        from tasks.gate import margins, printing, run, show, verdict

        allowed = margins.parse(margin or [])
        _writable(out)
        if github:
            printing.check_summary()
        material = run.read(texts, [before, after, *(against or [])], prompts)
        if out is not None:
            run.check_output(out, "--out", material)
        for system in (material.systems[0], *material.systems[2:]):
            run.check_draws([system.draws, material.systems[1].draws])
        judged = run.judge(material, _named(recognizer, second, voice, mos, device))
        first, new, *others = judged.rows
        names = [system.name for system in judged.systems]
        verdicts = [
            verdict.judge(rows, new, allowed, (name, names[1]), resamples, seed)
            for name, rows in [(names[0], first), *zip(names[2:], others, strict=True)]
        ]
        answer = verdict.overall(verdicts)
        summary = show.markdown(verdicts, judged, answer) if github else ""
        if out is not None:
            print(f"page: {out}", file=sys.stderr)  # before the verdict, which is the last line
        with output.answer_on_stdout(verdict.last_line(verdicts)):
            if github and not printing.summary_file():
                print(summary, file=sys.stderr if as_json else None)
            if as_json:
                print(json.dumps(show.as_dict(verdicts, judged, answer), indent=2, allow_nan=False))
            else:
                printing.tell(verdicts, judged)
        if place := printing.summary_file() if github else None:
            with output.written_after("GITHUB_STEP_SUMMARY", place):
                printing.summary(place, summary, answer)
        if out is not None:
            from tasks.gate import page

            with output.written_after("--out", out):
                page.write(out, verdicts, judged, answer, examples)
    raise typer.Exit(verdict.EXIT[answer])


@app.command()
def table(
    systems: Annotated[list[str], typer.Argument(help="folders of two or more systems")],
    texts: Texts,
    prompts: Prompts = None,
    by: Annotated[str, typer.Option(help="measure to rank by")] = "wer",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    recognizer: Recognizer = "small.en",
    second: Second = "pocketsphinx",
    voice: Voice = "none",
    mos: Mos = True,
    device: Device = "auto",
    resamples: Resamples = 4000,
    seed: Seed = 0,
) -> None:
    """Rank many systems under one reader, with intervals and groups that can't be told apart."""
    with _one_answer():
        from tasks.gate import printing, ranking, run, show

        if by not in ranking.RANKED_BY:
            raise InputError(f"--by {by}: expected one of {', '.join(ranking.RANKED_BY)}")
        if len(systems) < 2:
            raise InputError("a table needs two systems or more")
        material = run.read(texts, systems, prompts)
        run.check_draws([system.draws for system in material.systems])
        _measurable(by, bool(material.voices), second, voice, mos)
        judged = run.judge(material, _named(recognizer, second, voice, mos, device))
        rows = {system.name: own for system, own in zip(judged.systems, judged.rows, strict=True)}
        places = ranking.rank(rows, by, resamples, seed)
        with output.answer_on_stdout(f"by {by}: {', '.join(place.name for place in places)}, the best first"):
            if as_json:
                print(json.dumps(show.places_as_dict(places, rows, by, judged, resamples, seed), indent=2))
            else:
                printing.tell_places(places, rows, by, judged, resamples, seed)


@app.command()
def power(
    texts: Annotated[int, typer.Option(help="how many texts")],
    draws: Annotated[int, typer.Option(help="recordings of each text, per system")] = 1,
    wer: Annotated[float, typer.Option(help="word error rate before, as a share")] = 0.05,
    words: Annotated[float, typer.Option(help="words per text")] = 10,
) -> None:
    """Print what can be seen with so many texts, before anything is recorded."""
    with _one_answer():
        from tasks.gate import power as planned

        found = planned.lines(planned.design(texts, draws, wer, words))
        with output.answer_on_stdout(found[1].strip()):
            print("\n".join(found))


def _named(recognizer: str, second: str, voice: str, mos: bool, device: str) -> Named:
    import torch

    from tasks.gate.judges import Named

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device}: expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no NVIDIA GPU here; use auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Named(recognizer, second, voice, mos, device)


def _measurable(by: str, prompted: bool, second: str, voice: str, mos: bool) -> None:
    """Refuse before the judging a ranking by what will not be measured."""
    lacking = {
        "similarity": "" if prompted else "voice prompts (--prompts, or a column prompt)",
        "held_out_similarity": "" if prompted and voice != "none" else "voice prompts and --voice",
        "held_out_wer": "" if second != "none" else "a second recognizer (--second)",
        "mos": "" if mos else "--mos",
    }
    if needed := lacking.get(by):
        raise InputError(f"--by {by}: it is not measured without {needed}")


def _writable(out: Path | None) -> None:
    """Refuse before the judging what could not be written after it."""
    if out is None:
        return
    from tasks.common.files import try_place
    from tasks.common.systems import ENDINGS

    try:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if out.exists() and not out.is_file():
            raise OSError(0, "it is a pipe or a device")
        if out.suffix.lower() in ENDINGS:
            raise OSError(0, "that is the name of a recording")
        try_place(out)
    except OSError as error:
        raise InputError(
            f"--out {out}: expected a file that can be written, such as gate.html; {error.strerror}"
        ) from error


@contextlib.contextmanager
def _one_answer() -> Iterator[None]:
    """Print one message for bad input and end with its status; nothing that fails here ends as a verdict."""
    with output.lenient_messages():
        try:
            with one_message():
                yield
        except SystemExit as error:
            raise typer.Exit(BAD_INPUT) from error
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            traceback.print_exc()
            raise typer.Exit(FAULT) from error


if __name__ == "__main__":
    app()
