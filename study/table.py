"""The study's tables. ``python -m study.table``

Each arm's last iteration is compared with the policy it started from and with another arm, at each one's own best
decoding. Seeds are pooled: differences are paired on seed, utterance, prompt and draw, and the intervals resample
speakers, then texts, whose draws on every seed stay together. ``reports/study.json`` has the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from study.arms import LOOP, Arm, Study, load
from tasks.common import runtime, schemas
from tasks.common.files import DataError, read_json, read_table, write_json, write_text
from tasks.common.scores import METRICS, SETS, Interval, compare, rows_at, speaker_kinds, summarize, to_json
from tasks.common.stage import stage

MARKDOWN, JSON = Path("reports/study.md"), Path("reports/study.json")
Rows = list[dict[str, Any]]
Entry = dict[str, Any]  # see entry_of

GROUPS = {
    "loop": "The default, three iterations",
    "controls": "Controls: one iteration, as many steps, pairs and parameters",
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


def rows_of(folder: Path, seeds: Iterable[int], iteration: int) -> Rows:
    """Return the judged test utterances of all seeds at the policy's best decoding.

    An utterance's id says speaker and text: one name in the corpora of two seeds is two texts, and one text is one.
    """
    rows: Rows = []
    for seed in seeds:
        judged = read_table(folder / str(seed) / str(iteration) / "utterances.parquet", schemas.UTTERANCES)
        best = [row for which in SETS for row in rows_at(judged, "best", which)]
        rows += [{**row, "id": f"{row['speaker']}: {row['text']}", "prompt_id": f"{seed}/{row['id']}"} for row in best]
    return rows


def finished(study: Study, name: str, iteration: int) -> list[int]:
    """Return the seeds on which an arm has results of this iteration."""
    return [s for s in study.seeds_of(name) if (study.results(name, s) / str(iteration) / "metrics.json").is_file()]


def read(study: Study, name: str, seeds: Iterable[int], iteration: int) -> Rows:
    """Return an arm's judged test utterances, those of the loop where the arm has no such iteration of its own."""
    arm = study.by_name[name]
    while iteration < arm.first:
        name = arm.after
        arm = study.by_name[name]
    return rows_of(study.results(name, next(iter(seeds))).parent, seeds, iteration)


def entry_of(study: Study, name: str, iteration: int, resamples: int, bootstrap_seed: int) -> Entry | None:
    """Return what is known of one policy, all seeds together; None if no seed has finished.

    Returns:
        its arm, title, group, iteration, seeds, decodings by seed, title of the arm it is compared with, and by set of
        texts: numbers of texts and samples, the scores of all, seen and unseen speakers, the paired differences
        ``versus_start`` and ``versus`` (that arm), and of ``each_seed`` the WER's difference to the start.
    """
    arm = study.by_name[name]
    seeds = finished(study, name, iteration)
    if not seeds:
        return None

    def difference(other: str, other_iteration: int, which: str, of: list[int]) -> dict[str, Any]:
        there, here = (_of(read(study, n, of, k), which) for n, k in ((other, other_iteration), (name, iteration)))
        return to_json(compare(there, here, resamples, bootstrap_seed))

    entry: Entry = {
        "arm": name,
        "title": _title(arm, iteration),
        "group": arm.group,
        "iteration": iteration,
        "seeds": seeds,
        "decoding": {str(seed): _decoding(study, name, seed, iteration) for seed in seeds},
        "against": None,
        "sets": {},
    }
    rows = read(study, name, seeds, iteration)
    for which in SETS:
        if not (of_set := _of(rows, which)):
            continue
        scores = entry["sets"][which] = _scores(of_set, resamples, bootstrap_seed)
        if iteration:
            scores["versus_start"] = difference(name, 0, which, seeds)
            scores["each_seed"] = {str(s): difference(name, 0, which, [s])["wer"] for s in seeds}
        if iteration and arm.against:
            same = iteration if arm.against == LOOP else study.by_name[arm.against].last
            if both := [seed for seed in seeds if seed in finished(study, arm.against, same)]:
                entry["against"] = _title(study.by_name[arm.against], same)
                scores["versus"] = difference(arm.against, same, which, both)
    return entry


def entries(study: Study, resamples: int, bootstrap_seed: int) -> list[Entry]:
    """Return every policy of the study that has results: starts and their arms, each arm's last iteration."""
    found = []
    for name, arm in study.by_name.items():
        shown = range(arm.first, arm.last + 1) if name == LOOP else [arm.last]
        found += [entry_of(study, name, k, resamples, bootstrap_seed) for k in shown]
    return [entry for entry in found if entry]


def _title(arm: Arm, iteration: int) -> str:
    if arm.shares != "nothing":
        return arm.title
    return "start" if iteration == 0 else f"{arm.title}, iteration {iteration}"


def _decoding(study: Study, name: str, seed: int, iteration: int) -> dict[str, float]:
    return read_json(study.results(name, seed) / str(iteration) / "metrics.json")["decoding"]["best"]


def _of(rows: Rows, which: str) -> Rows:
    return [row for row in rows if row["set"] == which]


def _scores(rows: Rows, resamples: int, seed: int) -> dict[str, Any]:
    kinds = {kind: to_json(summarize(part, resamples, seed)) for kind, part in speaker_kinds(rows).items() if part}
    return {"texts": len({row["id"] for row in rows}), "samples": len(rows), **kinds}


def markdown(entries: Iterable[Entry], which: str, group: str) -> str:
    """Return one group's table of one set of texts; empty where no policy has it."""
    made = [e for e in entries if which in e["sets"] and e["group"] in (group, "loop")]
    if not any(e["group"] == group for e in made):
        return ""
    if group == "data":
        made = [e for e in made if e["group"] == group or e["iteration"] == 0]
    elif group != "loop":  # next to one iteration of the default
        made = [e for e in made if e["group"] == group or e["iteration"] <= 1]
    head = ["policy", "seeds", "temperature"]
    for name in ERRORS:
        head += [METRICS[name].heading, "against the start", *(["relative"] if name == "wer" else []), "against"]
    head += [f"{METRICS[name].short} against the start" for name in OTHERS if _measured(made, which, name)]
    lines = [head, ["---"] * len(head), *(_cells(e, which, made) for e in made)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def each_seed(entries: Iterable[Entry], which: str) -> str:
    """Return the WER's difference to the start on each seed."""
    made = [e for e in entries if "each_seed" in e["sets"].get(which, {})]
    seeds = sorted({seed for e in made for seed in e["sets"][which]["each_seed"]})
    lines = [["policy", *seeds], ["---"] * (1 + len(seeds))]
    for entry in made:
        found = {seed: {"of": {"wer": change}} for seed, change in entry["sets"][which]["each_seed"].items()}
        lines.append([entry["title"], *(_difference(found.get(seed, {}), "of", "wer") for seed in seeds)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _measured(made: Iterable[Entry], which: str, name: str) -> bool:
    return any(name in e["sets"][which].get("versus_start", {}) for e in made)


def _cells(entry: Entry, which: str, made: Iterable[Entry]) -> list[str]:
    scores = entry["sets"][which]
    temperatures = [f"{decoding['temperature']:g}" for decoding in entry["decoding"].values()]
    cells = [entry["title"], str(len(entry["seeds"])), ", ".join(temperatures)]
    for name in ERRORS:
        cells += [_score(scores["all"], name), _difference(scores, "versus_start", name)]
        if name == "wer":
            cells.append(_relative(scores))
        against = _difference(scores, "versus", name)
        cells.append(against if against == "–" else f"{against} ({entry['against']})")
    return cells + [_difference(scores, "versus_start", name) for name in OTHERS if _measured(made, which, name)]


def _score(scores: Mapping[str, Any], name: str) -> str:
    return METRICS[name].text(Interval.from_json(scores[name])) if name in scores else "–"


def _difference(scores: Mapping[str, Any], part: str, name: str) -> str:
    found = scores.get(part, {})
    if name not in found:
        return "–"
    return METRICS[name].difference_text(Interval.from_json(found[name])).replace("-", "−")


def _relative(scores: Mapping[str, Any]) -> str:
    """Return the change of WER relative to the start's, in percent."""
    if "versus_start" not in scores:
        return "–"
    change, now = (scores[part]["wer"]["value"] for part in ("versus_start", "all"))
    return f"{100 * change / (now - change):+.0f} %".replace("-", "−") if now > change else "–"


def page(entries: list[Entry], study: Study) -> str:
    """Return ``reports/study.md``."""
    loop = [e for e in entries if e["arm"] == LOOP]
    if not loop:
        raise DataError("no seed's loop has finished; run `speechalign study --targets loop` first")
    sets = {which: loop[0]["sets"][which] for which in reversed(SETS) if which in loop[0]["sets"]}
    sizes = ", ".join(f"{s['samples']} samples of {s['texts']} texts ({which})" for which, s in sets.items())
    parts = [
        "# Study\n",
        f"Seeds {', '.join(map(str, study.seeds))}, each with a corpus of its own, from the same start policy:\n"
        f"{sizes}. Every policy is shown at its own best decoding,\n"
        "chosen on dev. 95 % intervals resample speakers, then texts. Differences are paired, and one is significant\n"
        "where its interval excludes zero. Error rates are in percent, differences in points: below zero is a gain.\n",
    ]
    for which in sets:
        parts.append(f"## {SET_TITLES[which]}\n")
        for group, title in GROUPS.items():
            if table := markdown(entries, which, group):
                parts += [f"### {title}\n", table, ""]
        parts += ["### The default on each seed: WER against the start, points\n", each_seed(loop, which), ""]
    return "\n".join([*parts, PAPER])


@stage
def main() -> None:
    """Write reports/study.md and reports/study.json, and print the first."""
    params, _ = runtime.start()
    study = load()
    found = entries(study, params.evaluate.bootstrap_samples, params.seed)
    text = page(found, study)
    write_json(JSON, found)
    write_text(MARKDOWN, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
