"""Is the gain more than a lower temperature? ``python -m study.temperature``

Alignment may teach a policy to sample less at random, which a lower ``decoding.temperature`` does without training. So
the SFT policy and the last aligned one are evaluated at several temperatures, with the same prompts and seeds. The SFT
policy's best temperature is chosen on the test set itself, which favors SFT and never the aligned policy.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from model.judges.held_out import HeldOut
from model.judges.panel import Panel
from model.voice import Voice
from study.table import Rows, judged
from tasks.common import paths, runtime
from tasks.common.evaluation import EvaluationSet, evaluate_policy
from tasks.common.files import write_text
from tasks.common.params import Params
from tasks.common.scores import METRICS, compare, summarize
from tasks.common.stage import stage
from tasks.common.utterances import Utterances

OUT = Path("reports/temperature.md")


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The judged test set of one iteration's policy at one temperature."""

    iteration: str
    temperature: float
    rows: Rows


def at(params: Params, temperature: float) -> Params:
    """The parameters with another ``decoding.temperature``."""
    return params.model_copy(update={"decoding": params.decoding.model_copy(update={"temperature": temperature})})


def evaluate(iterations: list[str], temperatures: list[float], params: Params, device: Any) -> list[Evaluated]:
    """Every iteration at every temperature; the results of ``evaluate@k`` are used where they fit."""
    test = EvaluationSet(Utterances.read("test"), params)
    panel, nobody = Panel(params.models.recognizer, device), HeldOut(None, None, device)
    evaluations = []
    for k in iterations:
        voice = Voice.load(paths.ar(k), paths.NAR, params.models.codec, device, params.prompt_frames)
        for t in temperatures:
            if t == params.decoding.temperature:
                rows = judged(paths.utterances(k))
            else:
                rows, _ = evaluate_policy(voice, test, panel, nobody, at(params, t), f"iteration {k} at {t}")
            evaluations.append(Evaluated(k, t, rows))
    return evaluations


def report(evaluations: list[Evaluated], own: float, resamples: int, seed: int) -> str:
    """Markdown: one row per evaluation, and the last policy at ``own`` against SFT at its best temperature."""
    sft = {r.temperature: r.rows for r in evaluations if r.iteration == "0"}
    wer = METRICS["wer"]
    scores = [summarize(r.rows, resamples, seed) for r in evaluations]
    lines = [
        "| iteration | temperature | WER % | SIM | duration | F0 spread | WER against SFT at the same temperature |",
        "|---|---|---|---|---|---|---|",
    ]
    for r, m in zip(evaluations, scores, strict=True):
        change = "–"
        if r.iteration != "0":
            change = wer.difference_text(compare(sft[r.temperature], r.rows, resamples, seed)["wer"])
        spread = f"{m['f0_spread'].value:.2f}" if "f0_spread" in m else "–"
        cells = [r.iteration, f"{r.temperature:g}", wer.text(m["wer"]), f"{m['similarity'].value:.3f}"]
        lines.append(f"| {' | '.join([*cells, format(m['duration_ratio'].value, '.2f'), spread, change])} |")
    rates = {r.temperature: m["wer"].value for r, m in zip(evaluations, scores, strict=True) if r.iteration == "0"}
    best = min(rates, key=lambda t: rates[t])
    for r in evaluations:
        if r.iteration != "0" and r.temperature == own:
            gap = wer.difference_text(compare(sft[best], r.rows, resamples, seed)["wer"])
            lines += [
                "",
                f"Iteration {r.iteration} at {own:g} against SFT at its best temperature, {best:g}: WER {gap}.",
            ]
    return "\n".join(lines)


@stage
def main(
    temperatures: Annotated[list[float], typer.Option(help="besides decoding.temperature")] = [0.8, 0.6, 0.5, 0.4],  # noqa: B006
) -> None:
    """Write reports/temperature.md and print it."""
    params, device = runtime.start()
    own = params.decoding.temperature
    last = next(reversed(params.iterations))
    evaluations = evaluate(["0", last], sorted({own, *temperatures}, reverse=True), params, device)
    text = report(evaluations, own, params.evaluate.bootstrap_samples, params.seed)
    write_text(OUT, f"# Is the gain more than a lower temperature?\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    typer.run(main)
