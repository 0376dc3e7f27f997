"""Ask people which of two sounds is better: a blind listening test, and what the votes show.

Two folders of anybody's audio, or the loop's own samples; docs/votes.md describes every step.

Exit status: 0, 3 bad input, 4 a fault of this program.

\b
Examples:
  speechalign votes before/ after/ --texts texts.csv --serve
  speechalign votes before/ after/ --texts texts.csv --scale quality
  speechalign votes result listening
  speechalign votes export --iteration 1 --out listening

`compare` need not be named; its options come last here.
"""

# torch is imported inside the commands, so that --help takes less than a second.

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.common.default_command import BAD_INPUT, DefaultCommand
from tasks.common.files import DataError, try_place
from tasks.common.stage import stage
from tasks.prefer.votes.options import Host, Options, PerRater, Port, Stop, with_options

if TYPE_CHECKING:
    from tasks.common.params import Params
    from tasks.prefer.golden import Golden
    from tasks.prefer.votes.key import Key


FAULT = 4  # exit status, as the gate's


class _Group(DefaultCommand):
    """Bad input and wrong options have one exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            raise SystemExit(BAD_INPUT if error.code == 1 else error.code) from error
        except typer.TyperException as error:
            error.exit_code = BAD_INPUT
            raise
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(FAULT) from error


app = typer.Typer(cls=_Group, add_completion=False, no_args_is_help=True, help=__doc__)
Iteration = Annotated[str, typer.Option(help="iteration whose samples to vote on")]
VotedOn = Annotated[str, typer.Option("--iteration", help="iteration whose samples were voted on")]


@app.command()
@stage
@with_options
def compare(
    before: Annotated[str, typer.Argument(help="folder with the recordings of one system, or s3://")],
    after: Annotated[str, typer.Argument(help="folder with those of the other")],
    texts: Annotated[str, typer.Option(help="what they say: CSV with id and text, meta.lst or .trans.txt")],
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")] = Path("listening"),
    prompts: Annotated[str | None, typer.Option(help="folder of voice prompts, for the scale similarity")] = None,
    *,
    options: Options,
) -> None:
    """Compare two folders of recordings: write a blind listening test, or --serve it."""
    import numpy as np

    from tasks.prefer.votes import folders

    _check_new(out)
    with_reference = "similarity" in options.scales
    if prompts and not with_reference:
        raise DataError("--prompts are the voices to be like; they need --scale similarity")
    for folder in (before, after, prompts or before):
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
            raise DataError(f"--out {out} lies in {folder}, whose recordings are read; name a folder elsewhere")
    compared = folders.read(before, after, texts, prompts, with_reference, np.random.default_rng([options.seed, 1]))
    for note in compared.notes:
        print(f"warning: {note}")
    _make(out, compared.pairs, compared.rate, options, [options.seed, 2], systems=compared.systems)


@app.command()
@stage
@with_options
def export(
    iteration: Iteration,
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")],
    golden: Annotated[bool, typer.Option(help="pair each sample with golden speech instead of another sample")] = False,
    *,
    options: Options,
) -> None:
    """Write a blind listening test of an iteration's own samples, or --serve it."""
    import numpy as np

    from model.voice import Voice
    from tasks.common import paths, runtime
    from tasks.prefer.votes import loop

    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    _check_new(out)
    samples, recordings = _sampled(iteration, params)
    voice = Voice.load(folder, paths.NAR, params.models.codec, device, params.prompt_frames)
    rng = np.random.default_rng([params.seed, 8, options.seed, *iteration.encode()])
    render = loop.renderer(voice, recordings.voices)
    found = loop.draw_pairs(samples, recordings, golden, rng, render, with_reference="similarity" in options.scales)
    if not found:
        raise DataError(
            f"{paths.samples(iteration)} has no text with two different samples that have sound; "
            "raise sample.draws, or compare with golden speech (--golden, with texts.sample corpus)"
        )
    about = {
        "systems": ["sample", "golden"] if golden else [],
        "iteration": iteration,
        "policy": samples[0]["policy"],
    }
    _make(out, found, voice.sample_rate, options, [params.seed, 9, options.seed, *iteration.encode()], **about)


@app.command(name="serve")
@stage
def serve_(
    test: Annotated[Path, typer.Argument(help="folder of a listening test")],
    host: Host = "127.0.0.1",
    port: Port = 8040,
    per_rater: PerRater = None,
    stop: Stop = True,
) -> None:
    """Serve a listening test as a web page; votes are written to votes.jsonl in its folder."""
    _serve(test, host, port, per_rater, stop)


@app.command()
@stage
def result(
    test: Annotated[Path, typer.Argument(help="folder of a listening test")],
    sheets: Annotated[list[Path] | None, typer.Argument(help="sheets that came back, or folders of them")] = None,
    csv: Annotated[Path | None, typer.Option(help="write the votes that count, for prefer.votes")] = None,
    pairs: Annotated[Path | None, typer.Option(help="write preference pairs, one JSON line each")] = None,
    json: Annotated[Path | None, typer.Option(help="write the result as JSON")] = None,
) -> None:
    """Say what the votes show: who is left out, which system is preferred, and how far raters agree."""
    from tasks.common.files import write_json, write_text
    from tasks.prefer.votes import key as keys
    from tasks.prefer.votes import outputs, returned
    from tasks.prefer.votes import result as results

    key = keys.read(test)
    outputs.check(test, key, sheets or [], {"--csv": csv, "--pairs": pairs, "--json": json})
    found = results.result(returned.read(test, key, sheets or []), key)
    print(results.describe(found))
    for path, content in ((csv, results.to_csv), (pairs, results.to_pairs)):
        if path:
            write_text(path, content(found))
    if json:
        write_json(json, results.to_json(found))


@app.command()
@stage
def check(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, or a folder of them")],
    iteration: VotedOn,
) -> None:
    """Check votes against an iteration's samples, and print counts and the agreement between raters."""
    from tasks.common import params as parameters
    from tasks.prefer.votes import ballots

    params = parameters.load()
    params.iteration(iteration)
    cast = ballots.load(file, iteration, *_sampled(iteration, params), params.iterations)
    print(f"{cast.describe()}\n{cast.rater_agreement()}")


def _sampled(iteration: str, params: Params) -> tuple[Sequence[dict[str, Any]], Golden]:
    """Return the iteration's samples, and train's recordings in the layout of the policy that was sampled."""
    from model.layouts.layout import Layout
    from tasks.common import paths, schemas
    from tasks.common.rows import read_rows
    from tasks.common.utterances import Utterances
    from tasks.common.voices import Voices
    from tasks.prefer.golden import Golden

    samples = read_rows(paths.samples(iteration), schemas.SAMPLES)
    layout = Layout.of_policy(paths.ar(params.iteration(iteration).prev))
    return samples, Golden(Voices.of(Utterances.read("train"), params), layout)


def _check_new(out: Path) -> None:
    """Refuse a folder that exists or can't be made, before minutes of work."""
    if os.path.lexists(out):  # a link to nowhere is there, too
        go_on = f"; `speechalign votes serve {out}` goes on with it" if (out / "key.json").is_file() else ""
        raise DataError(f"{out} exists and may hold votes; name another folder with --out, or move it away{go_on}")
    try:
        try_place(out)
    except OSError as error:
        raise DataError(
            f"--out {out}: expected a new folder in one that can be written to; {error.strerror}"
        ) from error


def _make(out: Path, pairs: Any, rate: int, options: Options, seed: list[int], **about: Any) -> None:
    """Write the test, say what it holds, and serve it if that was asked for."""
    import numpy as np

    from tasks.prefer.votes import export as exporting
    from tasks.prefer.votes.design import Amounts, arrange

    amounts = Amounts(options.pairs, options.warm_up, options.checks)
    arranged = arrange(pairs, amounts, np.random.default_rng(seed))
    key = exporting.write(out, arranged, rate, **about, scales=options.scales)
    _say(out, key, options.pairs)
    if options.serve:
        _serve(out, options.host, options.port, options.per_rater, options.stop)


def _say(out: Path, key: Key, asked: int) -> None:
    from tasks.common.page.numbers import count

    roles = [trial.role for trial in key.trials]
    n = roles.count("pair")
    few = f" (of {asked} asked for: no more texts have two different sounds)" if n < asked else ""
    practice = roles.count("warm-up")
    page = out / "vote.html"
    size = f"{page.stat().st_size / 1e6:.1f} MB, needs nothing else" if page.is_file() else ""
    how = f"give raters vote.html ({size}), or serve the folder" if size else "serve it: too large for one page"
    print(
        f"{out}: {count(n, 'pair')}{few}, {count(practice, 'practice pair')}, "
        f"{count(len(roles) - n - practice, 'attention check')}; {how}; key.json says which sound is which"
    )


def _serve(folder: Path, host: str, port: int, per_rater: int | None, stop: bool) -> None:
    from tasks.prefer.votes import key as keys
    from tasks.prefer.votes import running

    running.run(folder, keys.read(folder), host, port, per_rater, stop)


if __name__ == "__main__":
    app()
