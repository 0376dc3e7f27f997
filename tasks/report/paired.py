"""Paired differences within seen and unseen speakers, from the judged utterances.

``metrics.json`` holds them over all speakers; whether alignment also helps voices that training never heard is the
next question, and the rows to answer it are there.
"""

from __future__ import annotations

import numpy as np

from model.metrics import paired_interval
from tasks.report.load import Inputs, Interval, Run, Scores
from tasks.report.raw import Rows

Differences = dict[str, dict[str, Scores]]  # by "versus_sft" or "versus_previous", then by iteration
# Each metric is a ratio of sums over utterances; None: a mean, that is, a sum over their number.
COLUMNS = {
    "wer": ("word_errors", "words"),
    "cer": ("character_errors", "characters"),
    "similarity": ("similarity", None),
    "duration_ratio": ("seconds", "golden_seconds"),
}


def differences(inputs: Inputs, group: str) -> Differences:
    """Of every evaluated iteration against SFT and against the iteration it started from, within ``group``."""
    found: Differences = {"versus_sft": {}, "versus_previous": {}}
    runs = {run.name: run for run in inputs.runs}
    for run in inputs.evaluated:
        if run.previous is None or run.judged is None:
            continue
        if group == "all":
            found["versus_sft"][run.name] = run.judged.versus_sft
            found["versus_previous"][run.name] = run.judged.versus_previous
            continue
        n, seed = inputs.params.evaluate.bootstrap_samples, inputs.params.seed
        found["versus_sft"][run.name] = _compare(runs["0"], run, group == "seen", n, seed)
        again = run.previous == "0"
        found["versus_previous"][run.name] = (
            found["versus_sft"][run.name] if again else _compare(runs[run.previous], run, group == "seen", n, seed)
        )
    return found


def _compare(before: Run, after: Run, seen: bool, n: int, seed: int) -> Scores:
    """``after`` minus ``before`` on the utterances that both have; nothing where they share none."""
    first = {row["id"]: row for row in before.utterances if row["seen"] is seen}
    second = {row["id"]: row for row in after.utterances if row["seen"] is seen}
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return {}
    scores = {}
    for metric in COLUMNS:
        (a, a_den), (b, b_den) = (_column([rows[i] for i in shared], metric) for rows in (first, second))
        low, high = paired_interval(a, b, a_den, b_den, n, seed)
        scores[metric] = Interval(float(b.sum() / b_den.sum() - a.sum() / a_den.sum()), low, high)
    return scores


def _column(rows: Rows, metric: str) -> tuple[np.ndarray, np.ndarray]:
    top, bottom = COLUMNS[metric]
    over = np.ones(len(rows)) if bottom is None else np.array([row[bottom] for row in rows], dtype=float)
    return np.array([row[top] for row in rows], dtype=float), over
