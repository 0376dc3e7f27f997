"""Tables and values of a kept run as Markdown.

A policy's scores are named by split (dev, test), decoding (best: its own, chosen on dev; loop: that of the loop) and
set of texts (recorded, long).
"""

from __future__ import annotations

import json
from typing import Any

from model.statistics import Interval
from results.runs import Run
from tasks.common.files import DataError
from tasks.common.scores import METRICS, SYSTEMS
from tasks.common.wording import decoding_text, policy_text

Measures = dict[str, dict[str, float]]  # metric to value, low, high
SHOWN = ("wer", "held_out_wer", "deletions", "insertions", "spoken", "unfinished", "similarity", "duration_ratio")
CHANGES = (*SHOWN, "f0_spread")
VOICES = ("seen", "unseen")


def origin(run: Run) -> str:
    """Return where the numbers come from, as one line."""
    o = run.origin
    where = f"`{o.command}` at commit `{o.commit}`, {o.date}, {o.machine}"
    if not run.iterations():  # a study, whose page has the sizes
        return where
    sets = run.metrics("0")["scores"]["test"]["best"]
    texts = " and ".join(f"{table['texts']} {name}" for name, table in sets.items())
    draws = next(iter(sets.values()))["draws"]
    return f"{where}; test: {texts} texts, {draws} draws each"


def value(run: Run, iteration: str, split: str, decoding: str, texts: str, part: str, metric: str) -> str:
    """Return one value with its interval: of a part (all, seen, unseen), or a difference (versus_start)."""
    measures = run.table(iteration, split, decoding, texts).get(part) or {}
    return change(measures, metric) if part.startswith("versus") else score(measures, metric)


def relative(run: Run, iteration: str, split: str, decoding: str, texts: str, metric: str) -> str:
    """Return the change against the start in percent of the start's value: ``−62 %``."""
    tables = [run.table(k, split, decoding, texts)["all"][metric]["value"] for k in ("0", iteration)]
    return percent(tables[1] / tables[0] - 1)


def policies(run: Run, texts: str, decoding: str = "best", split: str = "test") -> str:
    """Return each policy's metrics on a set of texts; on recorded test texts also those of golden speech."""
    found = [
        (policy_text(k), setting(run, k, decoding), run.table(k, split, decoding, texts)) for k in run.iterations()
    ]
    if (split, texts) == ("test", "recorded"):
        found += [(title, "–", part) for title, part in golden(run)]
    names = measured([part["all"] for _, _, part in found], SHOWN)
    rows = [[title, how, *(score(part["all"], name) for name in names)] for title, how, part in found]
    return table(["system", "decoding", *(METRICS[name].heading for name in names)], rows)


def differences(
    run: Run, texts: str, decoding: str = "best", split: str = "test", against: str = "versus_start"
) -> str:
    """Return each iteration's paired differences to the start, or (versus_previous) to the one before."""
    found = [(policy_text(k), run.table(k, split, decoding, texts).get(against)) for k in run.iterations()]
    compared = [(title, part) for title, part in found if part]
    names = measured([part for _, part in compared], CHANGES)
    other = "the start" if against == "versus_start" else "the iteration before"
    rows = [[title, *(change(part, name) for name in names)] for title, part in compared]
    return table([f"against {other}, paired", *(METRICS[name].short for name in names)], rows)


def choice(run: Run, iteration: str) -> str:
    """Return a policy's WER on dev at each decoding that it could have had; the chosen one is bold."""
    content = run.metrics(iteration)
    best = content["decoding"]["best"]
    rows = []
    for row in content["choice"]:
        cells = [decoding_text(row), *(f"{100 * row[name]:.1f}" for name in ("recorded", "long") if name in row)]
        chosen = all(row[name] == best[name] for name in best)
        rows.append([f"**{cell}**" if chosen else cell for cell in cells])
    sets = [f"WER %, {name}" for name in ("recorded", "long") if name in content["choice"][0]]
    return table([f"{policy_text(iteration)}, dev", *sets], rows)


def decoding(run: Run) -> str:
    """Return each policy's own decoding, its entropy, and how much of its change one temperature explains."""
    rows = []
    for k in run.iterations():
        found = run.metrics(k)["change"]
        cells = [plain(found.get(name), digits) for name, digits in (("entropy", 3), ("kl", 4), ("temperature", 2))]
        share = f"{100 * found['share']:.0f}" if found.get("share") is not None else "–"
        rows.append([policy_text(k), setting(run, k, "best"), *cells, share])
    head = ["policy", "own decoding", "entropy, nats per token", "KL from the start, nats per token"]
    return table([*head, "nearest temperature", "its share of the KL, %"], rows)


def voices(run: Run, texts: str = "recorded", split: str = "test") -> str:
    """Return WER and similarity by kind of speaker, and the similarity's share of the way from floor to ceiling."""
    bounds = run.read("runs/ceiling/metrics.json")["voices"]
    rows = []
    for k in run.iterations():
        found = run.table(k, split, "best", texts)
        row = [policy_text(k), *(score(found.get(part) or {}, "wer") for part in VOICES)]
        for part in VOICES:
            row += [score(found.get(part) or {}, "similarity"), way(found.get(part) or {}, bounds.get(part))]
        rows.append(row)
    for title, end in (("two different speakers' golden speech", "floor"), ("one speaker's golden speech", "ceiling")):
        cells = [plain(bounds[part][end], 3) if bounds.get(part) else "–" for part in VOICES]
        rows.append([title, "–", "–", cells[0], "–", cells[1], "–"])
    head = ["system", *(f"WER %, {part}" for part in VOICES)]
    return table([*head, *(title for part in VOICES for title in (f"SIM, {part}", "of the way, %"))], rows)


def gap(run: Run) -> str:
    """Return distances between golden and synthetic level-1 tokens of each iteration."""
    rows = []
    for k in run.iterations():
        found = run.read(f"runs/{k}/gap.json")
        distances, against = found["distances"], found.get("versus_start") or {}
        rows.append(
            [
                policy_text(k),
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
    head = ["policy", "Fréchet distance", "against the start", "classifier accuracy %", "against the start, points"]
    return table([*head, "codes, total variation %", "durations, ms"], rows)


def gap_cost(run: Run) -> str:
    """Return WER and similarity of golden and of synthetic level-1 tokens through the same NAR."""
    golden = run.read("runs/0/gap.json")["table1"]["golden"]
    rows = [["golden", score(golden, "wer"), "–", score(golden, "similarity"), "–"]]
    for k in run.iterations():
        found = run.read(f"runs/{k}/gap.json")["table1"]
        row = [f"synthetic, {policy_text(k)}"]
        for name in ("wer", "similarity"):
            row += [score(found["synthetic"], name), change(found["difference"], name)]
        rows.append(row)
    return table(["level-1 tokens", "WER %", "WER against golden", "SIM", "SIM against golden"], rows)


def study(run: Run, arm: str, iteration: str, texts: str, part: str, metric: str) -> str:
    """Return one value of the study, all seeds together: of a part, or a difference (versus_start, versus)."""
    measures = studied(run, arm, iteration, texts).get(part) or {}
    return change(measures, metric) if part.startswith("versus") else score(measures, metric)


def study_relative(run: Run, arm: str, iteration: str, texts: str, metric: str) -> str:
    """Return an arm's change against the start in percent of the start's value: ``−62 %``."""
    scores = studied(run, arm, iteration, texts)
    now, difference = (scores[part][metric]["value"] for part in ("all", "versus_start"))
    return percent(difference / (now - difference))


def studied(run: Run, arm: str, iteration: str, texts: str) -> dict[str, Any]:
    """Return an arm's scores on one set of texts, of ``reports/study.json``.

    Raises:
        DataError: the study has no such result.
    """
    for entry in json.loads(run.text("reports/study.json")):
        if (entry["arm"], str(entry["iteration"])) == (arm, iteration) and texts in entry["sets"]:
            return entry["sets"][texts]
    raise DataError(f"reports/study.json has no arm {arm} with iteration {iteration} on {texts} texts")


def page(run: Run, name: str) -> str:
    """Return a Markdown page of ``reports/``, such as the study's, without its title and one level of headings down."""
    lines = run.text(f"reports/{name}.md").splitlines()
    return "\n".join(
        f"#{line}" if line.startswith("##") else line for line in lines if not line.startswith("# ")
    ).strip()


def printed(run: Run, name: str) -> str:
    """Return a command and its printed output."""
    return f"```\n{run.text(f'printed/{name}.txt').rstrip()}\n```"


def golden(run: Run) -> list[tuple[str, dict[str, Measures]]]:
    """Return titles and metrics of golden speech under the same judges."""
    ceiling = run.read("runs/ceiling/metrics.json")
    return [(title, ceiling[name]) for name, title in SYSTEMS.items() if name in ceiling]


def measured(found: list[Measures], names: tuple[str, ...]) -> list[str]:
    """Return those of the metrics that any of the systems has."""
    return [name for name in names if any(name in measures for measures in found)]


def setting(run: Run, iteration: str, which: str) -> str:
    """Return a policy's decoding in words."""
    return decoding_text(run.metrics(iteration)["decoding"][which])


def way(measures: Measures, bounds: dict[str, Any] | None) -> str:
    """Return how far a similarity lies between two different speakers (0) and the same one (100)."""
    if "similarity" not in measures or not bounds:
        return "–"
    low, high = (number_of(bounds[end]) for end in ("floor", "ceiling"))
    return f"{100 * (measures['similarity']['value'] - low) / (high - low):.0f}"


def score(measures: Measures, metric: str) -> str:
    """Return a value with its interval; "–" if it was not measured."""
    text = METRICS[metric].text
    return text(Interval.from_json(measures[metric])) if metric in measures else "–"


def change(measures: Measures, metric: str) -> str:
    """Return a difference with its interval and signs; "–" if it was not measured."""
    text = METRICS[metric].difference_text
    return text(Interval.from_json(measures[metric])).replace("-", "−") if metric in measures else "–"


def percent(share: float) -> str:
    """Return a relative change in percent, with its sign."""
    return f"{100 * share:+.0f} %".replace("-", "−")


def number(measure: dict[str, float] | None, scale: float, digits: int, sign: str = "") -> str:
    """Return a measure that is no metric, with its interval; "–" if there is none."""
    if measure is None:
        return "–"
    return format(Interval.from_json(measure).scaled(scale), f"{sign}.{digits}f").replace("-", "−")


def plain(found: Any, digits: int) -> str:
    """Return a number without an interval; "–" if there is none."""
    return "–" if found is None else f"{number_of(found):.{digits}f}".replace("-", "−")


def number_of(found: Any) -> float:
    """Return a number that may have an interval, without it."""
    return float(found["value"] if isinstance(found, dict) else found)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
