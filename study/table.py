"""The study's table. ``python -m study.table``

Each arm's last iteration is compared with the SFT policy it started from, and with continued SFT of as many optimizer
steps. Both are paired on utterances, prompts and seeds. The paper's own numbers follow. They are of another codec,
another language model and human speech, so only their order compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from study.arms import RESULTS, load
from tasks.common import paths, runtime, schemas
from tasks.common.files import read_table, write_text
from tasks.common.scores import METRICS, by_speaker_kind, compare
from tasks.common.stage import stage

OUT = Path("reports/study.md")
Rows = list[dict[str, Any]]

GROUPS = {
    "methods": "Methods: one iteration from the same SFT policy",
    "sources": "Pair sources: three iterations",
    "strength": "Strength of the preference term: one iteration",
    "sizes": "Sizes of the pair set: one iteration",
    "iterations": "Iterations",
    "models": "A larger AR: one iteration",
    "seeds": "The whole loop with other seeds, corpus included",
}
HEAD = (
    "| system | WER % | WER seen | WER unseen | SIM | duration | WER against its SFT | SIM against its SFT "
    "| WER against continued SFT | the paper's WER, SIM |\n|---|---|---|---|---|---|---|---|---|---|"
)
# The paper's number for the system of a row: (group, title) to WER %, SIM.
PAPER_NUMBERS = {
    ("methods", "SFT"): "7.2, 0.87",
    ("methods", "DPO"): "6.7, 0.88",
    ("methods", "RLHF-PPO"): "7.1, 0.89",
    ("methods", "continued SFT, equal steps"): "8.0",
    ("sources", "golden against synthetic, all parameters"): "6.0, 0.90",
    ("sources", "continued SFT, equal steps"): "8.0",
    ("iterations", "0 (SFT)"): "7.2, 0.87",
    ("iterations", "1"): "6.7, 0.88",
    ("iterations", "2"): "6.2, 0.89",
    ("iterations", "3"): "6.0, 0.90",
    ("models", "small AR: SFT"): "11.4 (130 M)",
    ("models", "small AR: iteration 1"): "9.3 (130 M)",
    ("models", "base AR: SFT"): "7.2, 0.87",
    ("models", "base AR: iteration 1"): "6.7, 0.88",
}
PAPER = """## The paper's own numbers

From SpeechAlign (arXiv 2404.05600): LibriSpeech, a published 24 kHz EnCodec, an AR of hundreds of millions of
parameters, human speech. Nothing below compares with a row above; the order within the table does.

| system | WER % | SIM |
|---|---|---|
| SFT | 7.2 | 0.87 |
| continued SFT | 8.0 | – |
| RLHF-PPO | 7.1 | 0.89 |
| DPO, iterations 1 / 2 / 3 | 6.7 / 6.2 / 6.0 | 0.88 / 0.89 / 0.90 |
| golden tokens through the NAR | 5.9 | 0.93 |
| VCTK, unseen speakers: SFT → aligned | 8.8 → 7.9 | 0.79 → 0.83 |
| a 130 M AR: SFT → iteration 1 | 11.4 → 9.3 | – |
"""


@dataclass(frozen=True)
class Entry:
    """A row: judged test utterances of a system, of the SFT policy it came from, and of its control (if any)."""

    title: str
    rows: Rows
    sft: Rows
    control: Rows | None = None


def judged(path: Path) -> Rows:
    return read_table(path, schemas.UTTERANCES)


def entries(main_loop: str = "main loop") -> dict[str, list[Entry]]:
    """Every group's rows: arms that have results, and what the main loop adds to each group.

    Args:
        main_loop: the main loop's title among the arms of other strength.
    """
    sft = judged(paths.utterances("0"))
    main = {k: judged(paths.utterances(k)) for k in ("1", "2", "3") if paths.utterances(k).is_file()}
    continued = {name: _last(name) for name in ("continued_sft", "continued_sft_3")}
    of_group: dict[str, Rows | None] = dict.fromkeys(("methods", "strength", "sizes"), continued["continued_sft"])
    of_group["sources"] = continued["continued_sft_3"]
    made: dict[str, list[Entry]] = {group: [] for group in GROUPS}
    made["methods"].append(Entry("SFT", sft, sft, of_group["methods"]))
    made["models"].append(Entry("small AR: SFT", sft, sft))
    if "1" in main:
        made["models"].append(Entry("small AR: iteration 1", main["1"], sft))
        made["strength"].append(Entry(main_loop, main["1"], sft, of_group["strength"]))
        made["sizes"].append(Entry("all of the pairs", main["1"], sft, of_group["sizes"]))
    if "3" in main:
        made["sources"].append(Entry("the policy's own samples", main["3"], sft, of_group["sources"]))
        made["seeds"].append(Entry("main loop: iteration 3", main["3"], sft, of_group["sources"]))
    made["iterations"] += [Entry("0 (SFT)", sft, sft), *(Entry(k, rows, sft) for k, rows in main.items())]
    arms = load()
    # Continued SFT from the SFT policies of the seeds' own loops.
    controls = {arm.base: _last(name) for name, arm in arms.items() if arm.base and arm.method == "sft"}
    for name, arm in arms.items():
        own_sft = RESULTS / name / "0" / "utterances.parquet"
        first = RESULTS / (arm.base or name) / "0" / "utterances.parquet"
        start = judged(first) if first.is_file() else sft
        control = controls.get(arm.base or name, of_group.get(arm.group))
        if own_sft.is_file():
            made[arm.group].append(Entry(f"{arm.title}: SFT", start, start, controls.get(name)))
        shown = range(arm.first, arm.last + 1) if arm.group == "iterations" else [arm.last]
        for k in shown:
            file = RESULTS / name / str(k) / "utterances.parquet"
            if file.is_file():
                title = str(k) if arm.group == "iterations" else arm.title
                title = f"{title}: iteration {k}" if own_sft.is_file() else title
                made[arm.group].append(Entry(title, judged(file), start, control))
    return made


def _last(name: str) -> Rows | None:
    files = sorted((RESULTS / name).glob("*/utterances.parquet"))
    return judged(files[-1]) if files else None


def line(entry: Entry, paper: str, resamples: int, seed: int) -> str:
    """One row of the table; ``paper`` is the paper's number for it."""
    wer, similarity = METRICS["wer"], METRICS["similarity"]
    kinds = by_speaker_kind(entry.rows, resamples, seed)
    everything = kinds["all"]
    cells = [
        entry.title,
        wer.text(everything["wer"]),
        *(f"{100 * kinds[kind]['wer'].value:.1f}" if kind in kinds else "–" for kind in ("seen", "unseen")),
        similarity.text(everything["similarity"]),
        f"{everything['duration_ratio'].value:.2f}",
    ]
    if entry.rows is entry.sft:
        cells += ["–", "–"]
    else:
        differences = compare(entry.sft, entry.rows, resamples, seed)
        cells += [wer.difference_text(differences["wer"]), similarity.difference_text(differences["similarity"])]
    if entry.control is None or entry.control == entry.rows:
        cells.append("–")
    else:
        cells.append(wer.difference_text(compare(entry.control, entry.rows, resamples, seed)["wer"]))
    cells.append(paper)
    return f"| {' | '.join(cells)} |"


@stage
def main() -> None:
    """Write reports/study.md and print it."""
    params, _ = runtime.start()
    resamples, seed = params.evaluate.bootstrap_samples, params.seed
    parts = ["# Study on the embedded default\n"]
    parts.append(
        "Synthetic speech, a 1 M parameter codec and a 2 M parameter AR: another codec, another language model and "
        f"another kind of speech than the paper's. {len(judged(paths.utterances('0')))} held-out utterances, 95 % "
        "intervals (bootstrap over utterances). Differences are paired, and one is significant where its interval "
        "excludes zero. A WER difference below 0 and a SIM difference above 0 are gains. The paper's own numbers are "
        "given for their order only.\n"
    )
    beta = next(iter(params.iterations.values())).beta
    main_loop = f"main loop: beta {beta:g}, NLL weight {params.align.nll_weight:g}"
    for group, rows in entries(main_loop).items():
        if rows:
            lines = [line(entry, PAPER_NUMBERS.get((group, entry.title), "–"), resamples, seed) for entry in rows]
            parts += [f"## {GROUPS[group]}\n", HEAD, *lines, ""]
    parts.append(PAPER)
    text = "\n".join(parts)
    write_text(OUT, text)
    print(text)


if __name__ == "__main__":
    typer.run(main)
