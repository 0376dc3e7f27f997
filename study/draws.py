"""Does the gain hold on other draws of the test set? ``python -m study.draws``

``evaluate@k`` samples each test utterance once, so its word error rate includes the noise of that draw. Here the SFT
policy and the last aligned one are sampled several times, with other seeds and the same prompts, and every judge
scores each draw. An utterance's draws are added up before anything is resampled: the intervals are over utterances,
not over draws.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from model.judges.panel import Panel
from model.voice import Voice
from study.table import Rows, judged
from tasks.common import judges, paths, runtime
from tasks.common.evaluation import EvaluationSet, evaluate_policy, seed_of
from tasks.common.files import write_text
from tasks.common.params import Params
from tasks.common.scores import METRICS, compare, summarize
from tasks.common.stage import stage
from tasks.common.utterances import Utterances

OUT = Path("reports/draws.md")


def merged(draws: list[Rows]) -> Rows:
    """One row per utterance: errors, words and seconds added up over its draws, similarities and pitch averaged.

    Args:
        draws: judged tables of the same utterances in the same order, each with sampling seeds of its own.
    Returns:
        rows with the ids and seeds of the first draw, by which ``compare`` pairs them.
    Raises:
        ValueError: the draws are not of the same utterances and prompts.
    """
    ratios = [metric for metric in METRICS.values() if metric.denominator]
    counts = {column for metric in ratios for column in (metric.numerator, metric.denominator)}
    means = {metric.numerator for metric in METRICS.values() if not metric.denominator}
    result = []
    for rows in zip(*draws, strict=True):
        if len({(row["id"], row["prompt_id"]) for row in rows}) > 1:
            raise ValueError(f"draws of different utterances or prompts: {sorted({row['id'] for row in rows})}")
        row = dict(rows[0])
        for column in (counts | means) & row.keys():
            values = [other[column] for other in rows if other[column] is not None]
            if column in counts:  # without one draw's errors their sum would be over too many words
                row[column] = sum(values) if len(values) == len(rows) else None
            else:
                row[column] = sum(values) / len(values) if values else None
        result.append(row)
    return result


def evaluate(iterations: list[str], draws: int, params: Params, device: Any) -> dict[str, list[Rows]]:
    """Every iteration's draws; the first is that of ``evaluate@k``."""
    rows = Utterances.read("test")
    test = EvaluationSet(rows, params)
    texts = list(rows.texts)
    panel, others = Panel(params.models.recognizer, device), judges.load_held_out(params, device, texts)
    drawn = {}
    for k in iterations:
        voice = Voice.load(paths.ar(k), paths.NAR, params.models.codec, device, params.prompt_frames)
        drawn[k] = [judged(paths.utterances(k))]
        for n in range(1, draws):
            again = copy.copy(test)
            again.seeds = [seed_of(params.seed, f"{id_}/draw {n}") for id_ in rows.ids]
            title = f"iteration {k}, draw {n + 1} of {draws}"
            drawn[k].append(evaluate_policy(voice, again, panel, others, params, title)[0])
    return drawn


def report(drawn: dict[str, list[Rows]], resamples: int, seed: int) -> str:
    """Markdown: one row per metric, every policy's value and the last one's difference to the first, paired."""
    tables = {k: merged(draws) for k, draws in drawn.items()}
    first, last = next(iter(tables)), next(reversed(tables))
    values = {k: summarize(rows, resamples, seed) for k, rows in tables.items()}
    differences = compare(tables[first], tables[last], resamples, seed)
    names = ["SFT" if k == "0" else f"iteration {k}" for k in tables]
    lines = [f"| metric | {' | '.join(names)} | difference, paired | relative |", "|---" * (len(names) + 3) + "|"]
    for name, difference in differences.items():
        metric = METRICS[name]
        cells = [metric.text(values[k][name]) for k in tables]
        relative = difference.value / values[first][name].value
        cells += [metric.difference_text(difference), f"{100 * relative:+.1f} %"]
        lines.append(f"| {metric.heading} | {' | '.join(cells)} |")
    lines += ["", "WER % of each draw:", ""]
    for name, draws in zip(names, drawn.values(), strict=True):
        each = ", ".join(f"{100 * METRICS['wer'].value(rows):.1f}" for rows in draws)
        lines.append(f"* {name}: {each}")
    return "\n".join(lines)


@stage
def main(
    draws: Annotated[int, typer.Option(min=2, help="of each test utterance; the first is evaluate's own")] = 4,
) -> None:
    """Write reports/draws.md and print it."""
    params, device = runtime.start()
    last = next(reversed(params.iterations))
    drawn = evaluate(["0", last], draws, params, device)
    text = report(drawn, params.evaluate.bootstrap_samples, params.seed)
    write_text(OUT, f"# {draws} draws of the test set\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    typer.run(main)
