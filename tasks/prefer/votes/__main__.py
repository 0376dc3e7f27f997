"""Ask people which of two sounds is better: a blind listening test, and what the votes show.

`speechalign votes before/ after/ --texts texts.csv --serve` compares two folders of anybody's audio.
`speechalign votes export --iteration 1 --out listening` asks about the loop's own samples.
`speechalign votes result listening` says what the votes show; docs/votes.md describes every step.
"""

# torch is imported inside the commands, so that --help takes less than a second.

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from tasks.common.files import DataError
from tasks.common.stage import stage

if TYPE_CHECKING:
    from tasks.prefer.votes.key import Key


class _Group(typer.core.TyperGroup):
    """Two folders without a command are compared."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["compare", *args]
        return super().parse_args(ctx, args)


class Scale(StrEnum):
    """What raters score from 1 to 5, in addition to their preference."""

    quality = "quality"
    similarity = "similarity"


app = typer.Typer(cls=_Group, add_completion=False, no_args_is_help=True, help=__doc__)
Iteration = Annotated[str, typer.Option(help="iteration whose samples to vote on")]
VotedOn = Annotated[str, typer.Option("--iteration", help="iteration whose samples were voted on")]
Pairs = Annotated[int, typer.Option(help="pairs of sounds, one per text", min=1, max=2000)]
WarmUp = Annotated[int, typer.Option(help="practice pairs, which do not count", min=0, max=20)]
Checks = Annotated[int, typer.Option(help="attention checks: noise on one side, and one sound twice", min=0, max=40)]
Scales = Annotated[
    list[Scale] | None,
    typer.Option("--scale", help="also ask for quality (QMOS) or similarity to the voice prompt (SMOS)"),
]
Seed = Annotated[int, typer.Option(help="another seed draws other pairs and another order", min=0)]
Serve = Annotated[bool, typer.Option("--serve", help="serve it at once, as `speechalign votes serve` does")]
Host = Annotated[str, typer.Option(help="address to serve on; any but loopback needs the token in the printed link")]
Port = Annotated[int, typer.Option(help="port to serve on", min=1, max=65535)]
PerRater = Annotated[int | None, typer.Option(help="pairs for each rater; by default all of them", min=1)]
Stop = Annotated[bool, typer.Option(help="end the test for all raters once the stopping rule has decided")]


@app.command()
@stage
def compare(
    before: Annotated[str, typer.Argument(help="folder with the recordings of one system, or s3://")],
    after: Annotated[str, typer.Argument(help="folder with those of the other")],
    texts: Annotated[str, typer.Option(help="what they say: CSV with id and text, meta.lst or .trans.txt")],
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")] = Path("listening"),
    prompts: Annotated[str | None, typer.Option(help="folder of voice prompts, for the scale similarity")] = None,
    pairs: Pairs = 50,
    warm_up: WarmUp = 2,
    checks: Checks = 4,
    scale: Scales = None,
    seed: Seed = 0,
    serve: Serve = False,
    host: Host = "127.0.0.1",
    port: Port = 8040,
    per_rater: PerRater = None,
    stop: Stop = True,
) -> None:
    """Compare two folders of recordings: write a blind listening test, or --serve it."""
    import numpy as np

    from tasks.prefer.votes import folders

    scales = _scales(scale)
    _check_new(out)
    if prompts and "similarity" not in scales:
        raise DataError("--prompts are the voices to be like; they need --scale similarity")
    compared = folders.read(before, after, texts, prompts, "similarity" in scales, np.random.default_rng([seed, 1]))
    for note in compared.notes:
        print(f"warning: {note}")
    about = {"systems": compared.systems, "scales": scales}
    key = _write(out, compared.pairs, (pairs, warm_up, checks), compared.rate, [seed, 2], about)
    _say(out, key, pairs)
    if serve:
        _serve(out, host, port, per_rater, stop)


@app.command()
@stage
def export(
    iteration: Iteration,
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")],
    pairs: Pairs = 50,
    golden: Annotated[bool, typer.Option(help="pair each sample with golden speech instead of another sample")] = False,
    warm_up: WarmUp = 2,
    checks: Checks = 4,
    scale: Scales = None,
    seed: Seed = 0,
    serve: Serve = False,
    host: Host = "127.0.0.1",
    port: Port = 8040,
    per_rater: PerRater = None,
    stop: Stop = True,
) -> None:
    """Write a blind listening test of an iteration's own samples, or --serve it."""
    import numpy as np

    from model.voice import Voice
    from tasks.common import paths, runtime
    from tasks.prefer.votes import loop

    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    _check_new(out)
    samples, rows = _sampled(iteration)
    voice = Voice.load(folder, paths.NAR, params.models.codec, device, params.prompt_frames)
    rng = np.random.default_rng([params.seed, 8, seed, *iteration.encode()])
    scales = _scales(scale)
    render = loop.renderer(voice, rows, params.prompt_frames)
    found = loop.draw_pairs(samples, rows, golden, rng, render, with_reference="similarity" in scales)
    if not found:
        raise DataError(
            f"{paths.samples(iteration)} has no text with two different samples that have sound; "
            "raise sample.draws, or compare with golden speech (--golden, with texts.sample corpus)"
        )
    about = {
        "systems": ["sample", "golden"] if golden else [],
        "iteration": iteration,
        "policy": samples[0]["policy"],
        "scales": scales,
    }
    order = [params.seed, 9, seed, *iteration.encode()]
    key = _write(out, found, (pairs, warm_up, checks), voice.sample_rate, order, about)
    _say(out, key, pairs)
    if serve:
        _serve(out, host, port, per_rater, stop)


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
    from tasks.prefer.votes import result as results
    from tasks.prefer.votes import returned

    key = keys.read(test)
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
    cast = ballots.load(file, iteration, *_sampled(iteration), params.iterations)
    print(f"{cast.describe()}\n{cast.rater_agreement()}")


def _sampled(iteration: str) -> tuple[list[dict[str, Any]], Mapping[str, dict[str, Any]]]:
    """Return the iteration's samples, and the train utterances by id."""
    from tasks.common import paths, schemas
    from tasks.common.files import read_token_rows
    from tasks.common.utterances import Utterances

    return read_token_rows(paths.samples(iteration), schemas.SAMPLES), Utterances.read("train").by_id


def _scales(scales: list[Scale] | None) -> list[str]:
    return [scale.value for scale in Scale if scale in (scales or [])]


def _check_new(out: Path) -> None:
    """Refuse a folder that exists, before minutes of work."""
    if out.exists():
        go_on = f"; `speechalign votes serve {out}` goes on with it" if (out / "key.json").is_file() else ""
        raise DataError(f"{out} exists and may hold votes; name another folder with --out, or move it away{go_on}")


def _write(
    out: Path, pairs: Any, amounts: tuple[int, int, int], rate: int, seed: list[int], about: dict[str, Any]
) -> Key:
    import numpy as np

    from tasks.prefer.votes import export as exporting
    from tasks.prefer.votes.design import Amounts, arrange

    return exporting.write(out, arrange(pairs, Amounts(*amounts), np.random.default_rng(seed)), rate, **about)


def _say(out: Path, key: Key, asked: int) -> None:
    from tasks.prefer.votes.result import count

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
