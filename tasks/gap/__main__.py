"""Stage ``gap@k``: golden against synthetic level-1 tokens, as the NAR sees them. ``python -m tasks.gap --iteration 0``

The SpeechAlign paper's analysis of the gap (arXiv 2404.05600), in numbers. How far apart are the two, and can a
classifier tell them apart? What does the gap cost in WER and SIM, and does alignment close it? ``model/gap`` defines
each number. The pairs compared are the test utterances and the policy's samples of them, with the same voice prompts.
An utterance for which nothing was sampled has no tokens to compare. It is left out here, and counted; the judges'
averages keep it. A policy without tokens for most utterances is noted as not measured, and the loop goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import typer

from model.gap.distances import token_counts
from model.gap.projection import tsne
from model.gap.two_sample import FOLDS
from tasks.common import paths, runtime, schemas, tracking
from tasks.common.files import atomic_path, read_table, write_json, write_table
from tasks.common.no_nar import WHY, has_nar
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.scores import compare, first_draws, summarize, to_json
from tasks.common.stage import stage
from tasks.gap.measures import NAMES, Classified, Measures
from tasks.gap.tokens import Compared, read_compared

Row = dict[str, Any]
COSTS = ("wer", "similarity")  # the columns of the paper's Table 1


@stage
def main(iteration: Annotated[str, typer.Option(help='iteration to measure; "0" is the start policy')]) -> None:
    """Measure the gap between golden and one iteration's synthetic level-1 tokens."""
    params, device = runtime.start()
    if iteration != "0":
        params.iteration(iteration)
    if not has_nar():
        return write_unmeasured(iteration, WHY)
    with Bar(f"gap@{iteration}", 4) as bar:
        compared = read_compared(iteration, params, device)
        bar.advance()
        if compared.left_out and len(compared.ids) < fewest_utterances(params):
            left_out = f"{compared.left_out} of {compared.left_out + len(compared.ids)}"
            return write_unmeasured(iteration, f"nothing was sampled for {left_out} utterances", compared)
        utterances = by_id(iteration, compared.ids)
        draws = params.evaluate.bootstrap_samples
        # Both sides count whole frames: a recording ends within its last one, which alone would be half a frame of gap.
        frame = sum(u["seconds"] for u in utterances) / sum(len(tokens) for tokens in compared.tokens)
        durations = frame * np.array(
            [[len(g), len(t)] for g, t in zip(compared.golden_tokens, compared.tokens, strict=True)]
        )
        before_durations = frame * np.array([len(tokens) for tokens in compared.start_tokens])
        measures = Measures.of(compared, compared.synthetic, compared.tokens, durations[:, 1], durations[:, 0])
        content: Row = {
            "iteration": iteration,
            "utterances": len(compared.ids),
            "left_out": compared.left_out,
            "dimensions": params.gap.dimensions,
            "distances": {name: asdict(e) for name, e in measures.estimates(draws, params.seed).items()},
            "halves": measures.halves(params.seed),
        }
        bar.advance()
        classified = Classified.of(compared, compared.synthetic, params)
        content["classifier"] = classified.summary(params)
        if iteration != "0":
            first = Measures.of(compared, compared.start, compared.start_tokens, before_durations, durations[:, 0])
            content["versus_start"] = {
                **measures.change_from(first, draws, params.seed),
                "classifier": classified.change_from(Classified.of(compared, compared.start, params), params),
            }
        content["table1"] = cost(iteration, draws, params.seed)
        bar.advance()
        write_table(paths.gap_points(iteration), points(compared, durations, params.seed), schemas.GAP_POINTS)
        write_codes(iteration, compared)
        write_json(paths.gap(iteration), content)
        bar.advance()
    log(iteration, content)
    print(f"gap@{iteration}: " + ", ".join(shown(content)))


def fewest_utterances(params: Params) -> int:
    """Utterances that the distances and the classifier need."""
    return max(params.gap.dimensions + 1, 2 * FOLDS)


def write_unmeasured(iteration: str, why: str, compared: Compared | None = None) -> None:
    """Write why nothing is measured: too few utterances have tokens, or no NAR sees them."""
    write_table(paths.gap_points(iteration), [], schemas.GAP_POINTS)
    write_codes(iteration, compared)
    left_out = compared.left_out if compared else 0
    write_json(paths.gap(iteration), {"iteration": iteration, "left_out": left_out, "why": why})
    print(f"gap@{iteration}: not measured, {why}")


def by_id(iteration: str, ids: list[str]) -> list[Mapping[str, Any]]:
    """An iteration's judged utterances in the order of ``ids``."""
    found = {row["id"]: row for row in first_draws(read_table(paths.utterances(iteration), schemas.UTTERANCES))}
    return [found[i] for i in ids]


def cost(iteration: str, draws: int, seed: int) -> dict[str, Any]:
    """The paper's Table 1: WER and SIM of the NAR fed golden and fed synthetic tokens, and the paired difference."""
    ceiling = read_table(paths.CEILING / "utterances.parquet", schemas.UTTERANCES)
    golden = [row for row in ceiling if row["system"] == "golden_nar"]
    synthetic = first_draws(read_table(paths.utterances(iteration), schemas.UTTERANCES))
    table = {
        "golden": summarize(golden, draws, seed),
        "synthetic": summarize(synthetic, draws, seed),
        "difference": compare(golden, synthetic, draws, seed),
    }
    return {row: to_json({metric: found[metric] for metric in COSTS}) for row, found in table.items()}


def points(compared: Compared, durations: np.ndarray, seed: int) -> list[Row]:
    """Rows of ``schemas.GAP_POINTS``: golden utterances, then synthetic ones."""
    places = tsne(np.vstack([compared.golden, compared.synthetic]), seed)
    return [
        {"id": i, "system": system, "x": float(x), "y": float(y), "seconds": float(seconds)}
        for system, part, column in (
            ("golden", places[: len(compared.ids)], 0),
            ("synthetic", places[len(compared.ids) :], 1),
        )
        for i, (x, y), seconds in zip(compared.ids, part, durations[:, column], strict=True)
    ]


def write_codes(iteration: str, compared: Compared | None) -> None:
    """Write one row per code: how many golden and how many synthetic frames have it."""
    both = (compared.golden_tokens, compared.tokens) if compared else ()
    golden, synthetic = (
        (token_counts(tokens, compared.codebook_size).sum(axis=0) for tokens in both) if compared else ((), ())
    )
    with (
        atomic_path(paths.gap_codes(iteration)) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle)
        writer.writerow(["code", "golden", "synthetic"])
        writer.writerows((code, int(g), int(s)) for code, (g, s) in enumerate(zip(golden, synthetic, strict=True)))


def log(iteration: str, content: Row) -> None:
    """Note the distances in the iteration's MLflow run."""
    flat: dict[str, float] = {}
    for name in NAMES:
        measured = content["distances"][name]
        flat |= {f"gap/{name}": measured["value"]} | {f"gap/{name}_{end}": measured[end] for end in ("low", "high")}
    flat |= {f"gap/classifier_{key}": content["classifier"][key] for key in ("value", "low", "high", "p")}
    with tracking.resume(tracking.read(iteration), iteration) as run:
        run.log_results(flat)
        run.log_dict(content, "gap.json")


def shown(content: Row) -> list[str]:
    """The numbers of one line of the log."""
    parts = {**content["distances"], "classifier": content["classifier"]}
    return [f"{name} {m['value']:.4f} [{m['low']:.4f}, {m['high']:.4f}] p {m['p']:.3f}" for name, m in parts.items()]


if __name__ == "__main__":
    typer.run(main)
