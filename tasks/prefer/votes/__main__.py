"""Human votes on an iteration's samples: a listening test for raters, and a check of the votes they send back.

``speechalign votes export --iteration 1 --pairs 50 --out listening/1`` then, when votes are in,
``speechalign votes check FILE --iteration 1``. docs/votes.md describes every step.
"""

# torch is imported inside the commands, so that --help takes less than a second.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tasks.common import params as parameters
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_token_rows
from tasks.common.stage import stage
from tasks.prefer.votes import ballots

app = typer.Typer(add_completion=False, no_args_is_help=True, help=(__doc__ or "").replace("``", "`"))
Iteration = Annotated[str, typer.Option(help="iteration whose samples to vote on")]
VotedOn = Annotated[str, typer.Option("--iteration", help="iteration whose samples were voted on")]


def _sampled(iteration: str) -> tuple[list[ballots.Row], Mapping[str, ballots.Row]]:
    """Return the iteration's samples, and the train utterances by id."""
    from tasks.common.utterances import Utterances

    return read_token_rows(paths.samples(iteration), schemas.SAMPLES), Utterances.read("train").by_id


@app.command()
@stage
def export(
    iteration: Iteration,
    out: Annotated[Path, typer.Option(help="folder to write; it must not exist")],
    pairs: Annotated[int, typer.Option(help="pairs of sounds, one per text", min=1)] = 50,
    golden: Annotated[bool, typer.Option(help="pair each sample with golden speech instead of another sample")] = False,
    seed: Annotated[int, typer.Option(help="another seed draws other pairs", min=0)] = 0,
) -> None:
    """Write a blind listening test: sounds, a sheet to fill in, and a page for the browser that fills it in."""
    from model.voice import Voice
    from tasks.common import runtime
    from tasks.prefer.votes import page

    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    samples, rows = _sampled(iteration)
    trials = page.draw_trials(samples, rows, pairs, golden, [params.seed, 8, seed, *iteration.encode()])
    if not trials:
        raise DataError(
            f"{paths.samples(iteration)} has no text with two different samples that have sound; "
            "raise sample.draws, or compare with golden speech (--golden, with texts.sample corpus)"
        )
    voice = Voice.load(folder, paths.NAR, params.models.codec, device, params.prompt_frames)
    page.write(out, trials, samples, rows, voice, params, iteration)
    few = f" (of {pairs} asked for: no more texts have two different sounds)" if len(trials) < pairs else ""
    size = (out / "vote.html").stat().st_size / 1e6
    print(
        f"{out}: {len(trials)} pairs{few}; give raters vote.html ({size:.1f} MB, needs nothing else); votes.csv "
        "says which sound is which"
    )


@app.command()
@stage
def check(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, or a folder of them")],
    iteration: VotedOn,
) -> None:
    """Check votes against the samples, and print counts and the agreement between raters."""
    params = parameters.load()
    params.iteration(iteration)
    cast = ballots.load(file, iteration, *_sampled(iteration), params.iterations)
    print(f"{cast.describe()}\n{cast.rater_agreement()}")


if __name__ == "__main__":
    app()
