"""The study's tables. ``python -m study.table``

``reports/study.md`` shows them, and ``reports/study.json`` has the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from model.statistics import Interval
from study.arms import LOOP, load
from study.pooled import Entry, Results
from tasks.common import runtime
from tasks.common.files import DataError, write_json, write_text
from tasks.common.scores import METRICS, SETS
from tasks.common.stage import stage

MARKDOWN, JSON = Path("reports/study.md"), Path("reports/study.json")
GROUPS = {
    "loop": "The default, three iterations",
    "controls": "Controls: as many steps and pairs, of the same policy",
    "methods": "Methods: one iteration on the same pairs or samples",
    "sources": "Pairs of golden and synthetic speech, as in the paper",
    "data": "SFT on less data",
}
SET_TITLES = {"long": "Texts longer than SFT had", "recorded": "Texts as long as SFT's"}
ERRORS = ("wer", "held_out_wer")
OTHERS = ("similarity", "duration_ratio", "f0_spread", "unfinished")
PAPER = """## The paper's own numbers

From SpeechAlign (arXiv 2404.05600): LibriSpeech, a published 24 kHz EnCodec, an AR of hundreds of millions of
parameters, human speech. Only the order within the table compares with what is above.

| system | WER % | SIM |
|---|---|---|
| SFT | 7.2 | 0.87 |
| continued SFT | 8.0 | – |
| RLHF-PPO | 7.1 | 0.89 |
| DPO, iterations 1 / 2 / 3 | 6.7 / 6.2 / 6.0 | 0.88 / 0.89 / 0.90 |
| golden tokens through the NAR | 5.9 | 0.93 |
"""


def group_of(entries: Iterable[Entry], group: str, which: str) -> list[Entry]:
    """Return a group's policies on one set of texts, after the start and one iteration of the default; [] if none."""
    made = [e for e in entries if which in e["sets"]]
    own = [e for e in made if e["group"] == group]
    shown = {"loop": 0, "data": 0}.get(group, 2)  # iterations of the loop to show with them
    return [*(e for e in made if e["arm"] == LOOP and e["iteration"] < shown and e not in own), *own] if own else []


def errors(entries: list[Entry], which: str) -> str:
    """Return word error rates at each policy's best decoding, and what else changed."""
    others = [name for name in OTHERS if any(name in e["sets"][which].get("versus_start", {}) for e in entries)]
    head = ["policy", "seeds", "temperature"]
    for name in ERRORS:
        head += [METRICS[name].heading, "against the start", *(["relative"] if name == "wer" else []), "against"]
    head += [f"{METRICS[name].short} against the start" for name in others]
    rows = []
    for entry in entries:
        scores, decodings = entry["sets"][which], entry["decoding"].values()
        temperatures = ", ".join(f"{decoding['best']['temperature']:g}" for decoding in decodings)
        cells = [entry["title"], str(len(entry["seeds"])), temperatures]
        for name in ERRORS:
            cells += [_score(scores, name), _change(scores, "versus_start", name)]
            cells += (
                [_relative(scores), _against(entry, scores, name)] if name == "wer" else [_against(entry, scores, name)]
            )
        rows.append(cells + [_change(scores, "versus_start", name) for name in others])
    return _table(head, rows)


def at_the_loops_decoding(entries: list[Entry], which: str) -> str:
    """Return word error rates at the decoding of the loop, which every policy has in common."""
    head = [
        "policy",
        "temperature",
        METRICS["wer"].heading,
        "against the start",
        "against",
        METRICS["held_out_wer"].heading,
    ]
    rows = []
    for entry in entries:
        scores = entry["sets"][which]["loop"]
        temperature = next(iter(entry["decoding"].values()))["loop"]["temperature"]
        changes = [_change(scores, "versus_start", "wer"), _against(entry, scores, "wer")]
        rows.append(
            [entry["title"], f"{temperature:g}", _score(scores, "wer"), *changes, _score(scores, "held_out_wer")]
        )
    return _table(head, rows)


def each_seed(entries: list[Entry], which: str) -> str:
    """Return the WER's difference to the start on each seed."""
    made = [e for e in entries if "each_seed" in e["sets"][which]]
    seeds = sorted({seed for e in made for seed in e["sets"][which]["each_seed"]})
    rows = []
    for entry in made:
        found = {seed: {"of": {"wer": change}} for seed, change in entry["sets"][which]["each_seed"].items()}
        rows.append([entry["title"], *(_change(found.get(seed, {}), "of", "wer") for seed in seeds)])
    return _table(["WER against the start, points", *(f"seed {seed}" for seed in seeds)], rows)


def page(entries: list[Entry], seeds: list[int]) -> str:
    """Return ``reports/study.md``.

    Raises:
        DataError: no seed's loop has finished.
    """
    start = next((e for e in entries if e["arm"] == LOOP), None)
    if start is None:
        raise DataError("no seed's loop has finished; run `speechalign study --targets loop` first")
    sets = {which: start["sets"][which] for which in reversed(SETS) if which in start["sets"]}
    sizes = ", ".join(f"{s['samples']} samples of {s['texts']} texts ({which})" for which, s in sets.items())
    parts = [
        "# Study\n",
        f"Seeds {', '.join(map(str, seeds))}, each with a corpus of its own, from the same start policy:\n"
        f"{sizes}. Every policy is shown at its own best decoding,\n"
        "chosen on dev. 95 % intervals resample speakers. Differences are paired, and one is significant\n"
        "where its interval excludes zero. Error rates are in percent, differences in points: below zero is a gain.\n",
    ]
    for which in sets:
        parts.append(f"## {SET_TITLES[which]}\n")
        for group, title in GROUPS.items():
            if shown := group_of(entries, group, which):
                parts += [f"### {title}\n", errors(shown, which), ""]
        on_all = [e for e in entries if which in e["sets"] and e["group"] in ("loop", "controls")]
        parts += ["### At the loop's decoding\n", at_the_loops_decoding(on_all, which), ""]
        parts += ["### On each seed\n", each_seed(on_all, which), ""]
    return "\n".join([*parts, PAPER])


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _score(scores: Mapping[str, Any], name: str) -> str:
    return METRICS[name].text(Interval.from_json(scores["all"][name])) if name in scores["all"] else "–"


def _change(scores: Mapping[str, Any], part: str, name: str) -> str:
    found = scores.get(part, {})
    if name not in found:
        return "–"
    return METRICS[name].difference_text(Interval.from_json(found[name])).replace("-", "−")


def _against(entry: Entry, scores: Mapping[str, Any], name: str) -> str:
    change = _change(scores, "versus", name)
    return change if change == "–" else f"{change} ({entry['against']})"


def _relative(scores: Mapping[str, Any]) -> str:
    """Return the change of WER in percent of the start's."""
    if "versus_start" not in scores:
        return "–"
    change, now = (scores[part]["wer"]["value"] for part in ("versus_start", "all"))
    return f"{100 * change / (now - change):+.0f} %".replace("-", "−") if now > change else "–"


@stage
def main() -> None:
    """Write reports/study.md and reports/study.json, and print the first."""
    params, _ = runtime.start()
    study = load()
    found = Results(study, params.evaluate.bootstrap_samples, params.seed).entries()
    text = page(found, study.seeds)
    write_json(JSON, found)
    write_text(MARKDOWN, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
