"""Tables and values of a kept run as Markdown."""

from __future__ import annotations

from typing import Any

from model.statistics import Interval
from results.runs import Run
from study.arms import load as load_arms
from tasks.common.scores import METRICS, SYSTEMS

Measures = dict[str, dict[str, float]]  # metric to value, low, high
SHOWN = ("wer", "cer", "similarity", "duration_ratio", "held_out_wer")
CHANGES = ("wer", "held_out_wer", "similarity", "duration_ratio", "f0_spread")


def origin(run: Run) -> str:
    """Return where the numbers come from, as one line."""
    o = run.origin
    utterances = run.metrics("0")["utterances"]
    return f"`{o.command}` at commit `{o.commit}`, {o.date}, {o.machine}, {utterances} test utterances"


def value(run: Run, iteration: str, part: str, metric: str) -> str:
    """Return one value with its interval: of a part (all, seen, unseen), or a difference (versus_sft)."""
    measures = run.metrics(iteration).get(part) or {}
    return change(measures, metric) if part.startswith("versus") else score(measures, metric)


def loop(run: Run) -> str:
    """Return the iterations' metrics and those of golden speech under the same judges."""
    rows = [[title, *(score(measures, name) for name in SHOWN)] for title, measures in systems(run, "all")]
    return table(["system", *(METRICS[name].heading for name in SHOWN)], rows)


def differences(run: Run) -> str:
    """Return each iteration's paired differences to the SFT policy."""
    compared = [(k, run.metrics(k).get("versus_sft")) for k in run.iterations()]
    rows = [[policy(k), *(change(m, name) for name in CHANGES)] for k, m in compared if m]
    return table(["against SFT, paired", *(METRICS[name].short for name in CHANGES)], rows)


def voices(run: Run) -> str:
    """Return WER and similarity by kind of speaker: seen in training, or not."""
    parts = [(name, part) for name in ("wer", "similarity") for part in ("seen", "unseen")]
    of_part = {part: dict(systems(run, part)) for part in ("seen", "unseen")}
    rows = [[title, *(score(of_part[part][title], name) for name, part in parts)] for title in of_part["seen"]]
    return table(["system", *(f"{METRICS[name].heading}, {part}" for name, part in parts)], rows)


def study(run: Run, group: str) -> str:
    """Return the arms of one group of the study, each one's last iteration, against the SFT policy it started from."""
    rows = [["SFT", *arm_cells(run.metrics("0"))]]
    for name, arm in load_arms(run.folder / "study/params.yaml").items():
        path = f"study/results/{name}/{arm.last}/metrics.json"
        if arm.group == group and (run.folder / path).is_file():
            rows.append([arm.title, *arm_cells(run.read(path))])
    names = [METRICS[name].heading for name in ("wer", "similarity")]
    return table(["system", names[0], "seen", "unseen", names[1], "WER against SFT", "SIM against SFT"], rows)


def gap(run: Run) -> str:
    """Return distances between golden and synthetic level-1 tokens of each iteration."""
    rows = []
    for k in run.iterations():
        found = run.read(f"runs/{k}/gap.json")
        distances, against = found["distances"], found.get("versus_sft") or {}
        rows.append(
            [
                policy(k),
                number(distances["frechet"], 1, 4),
                number(against.get("frechet"), 1, 4, "+"),
                number(found["classifier"], 100, 1),
                number(against.get("classifier"), 100, 1, "+"),
                number(distances["codes"], 100, 1),
                f"{1000 * distances['seconds']['value']:.0f}",
            ]
        )
    chance = {name: measure["floor"] for name, measure in run.read("runs/0/gap.json")["distances"].items()}
    codes, durations = f"{100 * chance['codes']:.1f}", f"{1000 * chance['seconds']:.0f}"
    rows.insert(0, ["no gap, by chance", f"{chance['frechet']:.4f}", "–", "50", "–", codes, durations])
    head = ["policy", "Fréchet distance", "against SFT", "classifier accuracy %", "against SFT, points"]
    return table([*head, "codes, total variation %", "durations, ms"], rows)


def gap_cost(run: Run) -> str:
    """Return WER and similarity of golden and of synthetic level-1 tokens through the same NAR."""
    golden = run.read("runs/0/gap.json")["table1"]["golden"]
    rows = [["golden", score(golden, "wer"), "–", score(golden, "similarity"), "–"]]
    for k in run.iterations():
        found = run.read(f"runs/{k}/gap.json")["table1"]
        row = [f"synthetic, {policy(k)}"]
        for name in ("wer", "similarity"):
            row += [score(found["synthetic"], name), change(found["difference"], name)]
        rows.append(row)
    return table(["level-1 tokens", "WER %", "WER against golden", "SIM", "SIM against golden"], rows)


def temperature(run: Run) -> str:
    """Return the table that ``python -m study.temperature`` wrote."""
    lines = run.text("reports/temperature.md").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")).strip()


def printed(run: Run, name: str) -> str:
    """Return a command and its printed output."""
    return f"```\n{run.text(f'printed/{name}.txt').rstrip()}\n```"


def systems(run: Run, part: str) -> list[tuple[str, Measures]]:
    """Return titles and metrics of the policies and of golden speech."""
    policies = [(policy(k), run.metrics(k)[part]) for k in run.iterations()]
    ceiling = run.read("runs/ceiling/metrics.json")
    return policies + [(title, ceiling[name][part]) for name, title in SYSTEMS.items() if name in ceiling]


def arm_cells(metrics: dict[str, Any]) -> list[str]:
    """Return the cells of an arm's row, without its title."""
    kinds = [score(metrics.get(part) or {}, "wer").split(" ")[0] for part in ("seen", "unseen")]
    against = metrics.get("versus_sft") or {}
    return [
        score(metrics["all"], "wer"),
        *kinds,
        score(metrics["all"], "similarity"),
        *(change(against, name) for name in ("wer", "similarity")),
    ]


def policy(iteration: str) -> str:
    """Return the title of a policy."""
    return "SFT" if iteration == "0" else f"iteration {iteration}"


def score(measures: Measures, metric: str) -> str:
    """Return a value with its interval; "–" if it was not measured."""
    text = METRICS[metric].text
    return text(Interval.from_json(measures[metric])) if metric in measures else "–"


def change(measures: Measures, metric: str) -> str:
    """Return a difference with its interval and signs; "–" if it was not measured."""
    text = METRICS[metric].difference_text
    return text(Interval.from_json(measures[metric])).replace("-", "−") if metric in measures else "–"


def number(measure: dict[str, float] | None, scale: float, digits: int, sign: str = "") -> str:
    """Return a measure that is no metric, with its interval; "–" if there is none."""
    if measure is None:
        return "–"
    return format(Interval.from_json(measure).scaled(scale), f"{sign}.{digits}f").replace("-", "−")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
