"""Does the gain outlive other draws of the test set? ``python -m study.draws``

``evaluate@k`` samples each test utterance once, so its word error rate carries the luck of that draw. Here the SFT
policy and the last aligned one read the test set several times, with other sampling seeds and the same prompts; every
judge hears all of it. An utterance's draws are added up before anything is resampled: the intervals are over
utterances, not over draws.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from model.judges.panel import Panel
from model.voice import Voice
from study.table import Rows, interval, judged
from tasks.common import held_out, paths, runtime, schemas
from tasks.common.evaluation import COLUMNS, METRICS, Interval, TestSet, compare, evaluate_policy, seed_of, summarize
from tasks.common.files import atomic_path, read_table
from tasks.common.params import Params
from tasks.common.stage import stage

OUT = Path("reports/draws.md")
COUNTS = {column for top, bottom in COLUMNS.values() if bottom for column in (top, bottom)}
MEANS = {top for top, bottom in COLUMNS.values() if not bottom}
# Name of the metric → its name in the table, and what it is multiplied by.
SHOWN = {
    "wer": ("WER %", 100),
    "held_out_wer": ("WER %, held out", 100),
    "similarity": ("SIM", 1),
    "held_out_similarity": ("SIM, held out", 1),
    "duration_ratio": ("duration ratio", 1),
    "f0_spread": ("F0 spread, semitones", 1),
}


def merged(draws: list[Rows]) -> Rows:
    """One row an utterance: errors, words and seconds added up over its draws, similarities and pitch averaged.

    Args:
        draws: judged tables of the same utterances in the same order, each with sampling seeds of its own.
    Returns:
        rows with the ids and seeds of the first draw, by which ``compare`` pairs them.
    Raises:
        ValueError: the draws are not of the same utterances and prompts.
    """
    result = []
    for rows in zip(*draws, strict=True):
        if len({(row["id"], row["prompt_id"]) for row in rows}) > 1:
            raise ValueError(f"draws of different utterances or prompts: {sorted({row['id'] for row in rows})}")
        row = dict(rows[0])
        for column in (COUNTS | MEANS) & row.keys():
            values = [other[column] for other in rows if other[column] is not None]
            if column in COUNTS:  # without one draw's errors their sum would be over too many words
                row[column] = sum(values) if len(values) == len(rows) else None
            else:
                row[column] = sum(values) / len(values) if values else None
        result.append(row)
    return result


def read(iterations: list[str], draws: int, params: Params, device: Any) -> dict[str, list[Rows]]:
    """Every iteration's draws; the first is what ``evaluate@k`` has judged already."""
    rows = read_table(paths.codes("test"), schemas.CODES)
    test = TestSet(rows, params)
    panel, others = Panel(params.models.recognizer, device), held_out.load(params, device, [r["text"] for r in rows])
    heard = {}
    for k in iterations:
        voice = Voice.load(paths.ar(k), paths.NAR, params.models.codec, device, params.prompt_frames)
        heard[k] = [judged(paths.utterances(k))]
        for n in range(1, draws):
            again = copy.copy(test)
            again.seeds = [seed_of(params.seed, f"{row['id']}/draw {n}") for row in rows]
            title = f"iteration {k}, draw {n + 1} of {draws}"
            heard[k].append(evaluate_policy(voice, again, panel, others, params, title)[0])
    return heard


def report(heard: dict[str, list[Rows]], resamples: int, seed: int) -> str:
    """Markdown: a row a measure, every policy's value and the last one's difference to the first, paired."""
    tables = {k: merged(draws) for k, draws in heard.items()}
    first, last = next(iter(tables)), next(reversed(tables))
    values = {k: summarize(rows, resamples, seed) for k, rows in tables.items()}
    difference = compare(tables[first], tables[last], resamples, seed)
    names = ["SFT" if k == "0" else f"iteration {k}" for k in tables]
    lines = [f"| measure | {' | '.join(names)} | difference, paired | relative |", "|---" * (len(names) + 3) + "|"]
    for metric in METRICS:
        if metric in SHOWN and metric in difference:
            name, factor = SHOWN[metric]
            cells = [_shown(values[k][metric], factor) for k in tables]
            change = difference[metric]["value"] / values[first][metric]["value"]
            lines.append(
                f"| {name} | {' | '.join(cells)} | {_shown(difference[metric], factor, '+')} | {100 * change:+.1f} % |"
            )
    lines += ["", "WER % of each draw:", ""]
    for name, draws in zip(names, heard.values(), strict=True):
        each = ", ".join(f"{100 * summarize(rows, 1, seed)['wer']['value']:.1f}" for rows in draws)
        lines.append(f"* {name}: {each}")
    return "\n".join(lines)


def _shown(measure: Interval, factor: float, sign: str = "") -> str:
    return interval(measure, factor, 2 if factor == 100 else 3, sign)


@stage
def main(
    draws: Annotated[int, typer.Option(min=2, help="of each test utterance; the first is evaluate's own")] = 4,
) -> None:
    """Write reports/draws.md and print it."""
    params, device = runtime.start()
    last = next(reversed(params.iterations))
    heard = read(["0", last], draws, params, device)
    text = report(heard, params.evaluate.bootstrap_samples, params.seed)
    with atomic_path(OUT) as temporary:
        temporary.write_text(f"# {draws} draws of the test set\n\n{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    typer.run(main)
