"""The scores of judged utterances: values, intervals, paired differences, and their tables in metrics.json. No torch.

Of several draws of a text the errors are summed first. Intervals resample speakers, each with all of its texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.errors import InputError
from model.statistics import Interval, bootstrap_interval, paired_interval
from tasks.common.metrics import METRICS, RATE, Metric, Quantity, Row, by_judge, confirmable

__all__ = [
    "METRICS",
    "PAIRED_BY",
    "RATE",
    "SETS",
    "SYSTEMS",
    "Metric",
    "Quantity",
    "Row",
    "Scores",
    "Table",
    "by_judge",
    "by_speaker_kind",
    "compare",
    "confirmable",
    "first_draws",
    "levels",
    "pair_key",
    "paired",
    "rows_at",
    "sets_of",
    "shared_draws",
    "speaker_kinds",
    "summarize",
    "table_of",
    "tables",
    "to_json",
    "unspoken",
]

Scores = dict[str, Interval]  # by name of the metric
Table = dict[str, Any]  # see tables
SHORTEST_SPEECH = 0.1  # seconds: no word is said in less
SETS = ("recorded", "long")  # utterances of the corpus; texts without a recording
# Titles of the systems next to the policies, which have the same judges.
SYSTEMS = {
    "golden": "golden speech",
    "resynthesised": "golden, resynthesized",
    "golden_nar": "golden level 1 + NAR",
}
PAIRED_BY = ("id", "prompt_id", "seed")


def summarize(rows: Sequence[Row], resamples: int, seed: int) -> Scores:
    """Each measured metric with its 95 % interval over speakers and texts. Error rates are micro-averaged."""
    scores = {}
    for metric in METRICS.values():
        measured = [row for row in rows if metric.measured(row)]
        if measured:  # else there was no such judge
            used = measured if metric.may_lack else rows
            speakers, texts = levels(used)
            scores[metric.name] = bootstrap_interval(
                *metric.columns(used), resamples, seed, speakers=speakers, texts=texts
            )
    return scores


def by_speaker_kind(rows: Sequence[Row], resamples: int, seed: int) -> dict[str, Scores]:
    """``summarize`` of all rows and of seen and unseen speakers, where there are any."""
    return {kind: summarize(part, resamples, seed) for kind, part in speaker_kinds(rows).items() if part}


def speaker_kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """All rows, and those of speakers that occur in train (``seen``) or do not (``unseen``)."""
    return {"all": list(rows), "seen": [r for r in rows if r["seen"]], "unseen": [r for r in rows if not r["seen"]]}


def compare(before: Sequence[Row], after: Sequence[Row], resamples: int, seed: int) -> Scores:
    """``after`` minus ``before`` of each metric that both have, paired on utterance, prompt and seed.

    A metric that single utterances may lack is compared on those where both have it.

    Raises:
        InputError: the two tables differ in their utterances, prompts or seeds. Tables of several decodings must be
            reduced to one first (:func:`rows_at`).
    """
    pairs = paired(sorted(before, key=pair_key), after)
    if differ := len(before) + len(after) - 2 * len(pairs):
        raise InputError(
            f"{differ} test utterances, prompts or seeds differ between the two evaluations; evaluate both on the same "
            "test set"
        )
    differences = {}
    for metric in METRICS.values():
        kept = [pair for pair in pairs if not metric.may_lack or all(map(metric.measured, pair))]
        first, second = ([pair[place] for pair in kept] for place in (0, 1))
        if not all(any(map(metric.measured, table)) for table in (first, second)):
            continue
        a, a_below = metric.columns(first)
        b, b_below = metric.columns(second)
        speakers, texts = levels(second)
        differences[metric.name] = paired_interval(
            a, b, a_below, b_below, resamples, seed, speakers=speakers, texts=texts
        )
    return differences


def paired(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows of two tables that are of the same utterance, prompt, seed and text, in the order of ``before``."""
    second = {pair_key(row): row for row in after}
    return [(row, second[key]) for row in before if (key := pair_key(row)) in second]


def pair_key(row: Row) -> tuple[Any, ...]:
    """What two paired rows have in common."""
    return *(row[name] for name in PAIRED_BY), row.get("text", "")


def levels(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Each row's speaker and text, which the intervals resample; the id stands for the text."""
    return [row["speaker"] for row in rows], [row["id"] for row in rows]


def to_json(scores: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Scores as metrics.json holds them."""
    return {name: score.to_json() for name, score in scores.items()}


def unspoken(row: Row) -> bool:
    """Whether an utterance is too short to be speech. The sampler draws one code at least, so none is empty."""
    return row["seconds"] < SHORTEST_SPEECH


def rows_at(rows: Sequence[Row], decoding: str, which: str) -> list[Row]:
    """Rows of one set at one decoding, ``best`` or ``loop``. Where both are the same, the rows are stored as best."""
    of_set = [row for row in rows if row["set"] == which]
    found = [row for row in of_set if row["decoding"] == decoding]
    return found if found or decoding == "best" else of_set


def shared_draws(before: Sequence[Row], after: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of the draws that both have: a policy whose best decoding is the loop's may have more of them there."""
    fewest = min((max(row["draw"] for row in rows) for rows in (before, after) if rows), default=0)
    first, second = ([row for row in rows if row["draw"] <= fewest] for rows in (before, after))
    return first, second


def first_draws(rows: Sequence[Row]) -> list[Row]:
    """The first draw of each recorded text at the loop's decoding, of which ``test_samples`` holds the tokens."""
    return [row for row in rows_at(rows, "loop", "recorded") if row["draw"] == 0]


def tables(
    rows: Sequence[Row], decoding: str, resamples: int, seed: int, *, before: Mapping[str, Sequence[Row]] | None = None
) -> dict[str, Table]:
    """Tables of one split at one decoding, as metrics.json holds them, by set.

    Each has the numbers of texts and of draws per text, of samples that failed (too short to be speech) or were cut
    off at the length limit, the scores of all speakers, of seen and of unseen ones, and the paired differences.

    Args:
        rows: of ``schemas.UTTERANCES``.
        before: rows of earlier policies, compared at the decoding of the same name: ``{"versus_start": ...}``.
    """
    found = {}
    for which in SETS:
        if not (own := rows_at(rows, decoding, which)):
            continue
        texts = len({row["id"] for row in own})
        table: Table = {
            "texts": texts,
            "draws": len(own) // texts,
            "failed": sum(map(unspoken, own)),
            "cut_off": sum(not row["finished"] for row in own),
            **{kind: to_json(part) for kind, part in by_speaker_kind(own, resamples, seed).items()},
        }
        for name, earlier in (before or {}).items():
            table[name] = to_json(compare(*shared_draws(rows_at(earlier, decoding, which), own), resamples, seed))
        found[which] = table
    return found


def sets_of(metrics: Mapping[str, Any], split: str = "test", decoding: str = "best") -> list[str]:
    """Sets that were evaluated, the headline's first: the long one, where there is one."""
    return [which for which in reversed(SETS) if which in metrics["scores"][split][decoding]]


def table_of(metrics: Mapping[str, Any], split: str = "test", decoding: str = "best", set: str = "long") -> Table:
    """One table of a metrics.json.

    Raises:
        InputError: it has no such table; the message lists those that there are.
    """
    scores = metrics.get("scores") or {}
    try:
        return scores[split][decoding][set]
    except KeyError as error:
        have = [f"{s}/{d}/{w}" for s, of_split in scores.items() for d, of_set in of_split.items() for w in of_set]
        raise InputError(
            f"iteration {metrics.get('iteration')} has no scores of {split}/{decoding}/{set}, only of "
            f"{', '.join(have) or 'nothing'}; run its evaluate stage again"
        ) from error
