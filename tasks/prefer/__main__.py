"""Stage ``prefer@k``: samples → pairs with reference log-probabilities. ``python -m tasks.prefer --iteration 1``"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Annotated

import numpy as np
import typer

from model import policy
from model.fast.onednn import use_onednn
from tasks.common import paths, runtime, schemas
from tasks.common.engine import Workers
from tasks.common.files import DataError, write_table
from tasks.common.finished import check_finished
from tasks.common.judges import SPEAKER_ENCODER, recognizer_name
from tasks.common.judging import JudgingParts, SampleJudge
from tasks.common.progress import Bar
from tasks.common.rows import Row, Rows, read_rows
from tasks.common.stage import stage
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.prefer.golden import Golden
from tasks.prefer.judging import judged_before, judgement_rows
from tasks.prefer.no_pairs import why_no_pair
from tasks.prefer.reference import reference_logprobs
from tasks.prefer.sources import pair_up, source_of


@stage
def main(
    iteration: Annotated[str, typer.Option(help="iteration whose samples to pair")],
    judged: Annotated[bool, typer.Option("--judged", help="they are judged already: judgements.parquet stays")] = False,
) -> None:
    """Judge an iteration's samples, build its pairs, and cache the reference log-probabilities with them."""
    params, device = runtime.start()
    previous = params.iteration(iteration).prev
    folder = paths.ar(previous)
    train = Utterances.read("train")
    samples = read_rows(paths.samples(iteration), schemas.SAMPLES)
    if unknown := {s["prompt_id"] for s in samples} - train.by_id.keys():
        raise DataError(
            f"{paths.samples(iteration)} has voice prompts that are not in train: {sorted(unknown)[:5]}; sample again"
        )
    check_finished([s["finished"] for s in samples], params)
    # The earlier pairs and the votes are read, and refused, before minutes of judging.
    earlier: Sequence[Row] = read_rows(paths.pairs(previous), schemas.PAIRS) if params.prefer.replay else []
    workers = Workers(
        params,
        JudgingParts(str(folder), str(paths.NAR), params.models.codec, params.models.recognizer, params.prompt_frames),
        device,
    )
    judge = f"{recognizer_name(params.models.recognizer)}+{SPEAKER_ENCODER}"
    golden = Golden(Voices.of(train, params), workers.state.voice.policy.layout)
    source = source_of(params, iteration, samples, golden, judge)
    if judged:
        judgements = judged_before(samples, judge, iteration)
    else:
        with workers, Bar(f"prefer@{iteration} judge", len(samples)) as bar:
            judging = SampleJudge(params, workers, train, [s["prompt_id"] for s in samples])
            judgements = judging.judge(samples, bar.advance)
    fresh = pair_up(source, samples, judgements, golden, params, iteration)
    pairs = Rows(chain(fresh, earlier))
    new = len(pairs) - len(earlier)
    if not new:
        raise DataError(why_no_pair(iteration, samples, judgements, source.advice, params))
    anchor = folder if params.prefer.reference == "previous" else paths.ar("0")
    reference = workers.state.voice.policy if anchor == folder else policy.load(anchor, device)
    logprobs = reference_logprobs(pairs, use_onednn(reference.model), params.decoding.batch_size, iteration)
    referred = {"reference": policy.digest(anchor)}
    scored = (
        pair | {"chosen_logprob": chosen, "rejected_logprob": rejected} | referred
        for pair, (chosen, rejected) in zip(pairs, logprobs.tolist(), strict=True)
    )
    if not judged:
        write_table(paths.judgements(iteration), judgement_rows(samples, judgements, judge), schemas.JUDGEMENTS)
    write_table(paths.pairs(iteration), scored, schemas.PAIRS)
    mean = float(np.mean([j.word_errors for j in judgements]) / np.mean([j.words for j in judgements]))
    print(
        f"prefer@{iteration}: {new} new pairs and {len(pairs) - new} earlier ones; WER of all fresh samples {mean:.4f}"
    )


if __name__ == "__main__":
    typer.run(main)
