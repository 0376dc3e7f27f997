"""What a listening test shows: raters left out, agreement, the verdict, ratings, and the votes as CSV and pairs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.statistics import Interval, bootstrap_interval, paired_interval
from tasks.common.metrics import Row
from tasks.common.page.numbers import count
from tasks.prefer.votes.cells import marked
from tasks.prefer.votes.key import Key, Side, Trial
from tasks.prefer.votes.raters import Rater, agreement, checks_of, raters_of
from tasks.prefer.votes.returned import Cast
from tasks.prefer.votes.stopping import Preference, Verdict, verdict

SCALES = {"quality": "QMOS", "similarity": "SMOS"}
# The columns that prefer@k reads (docs/votes.md), and what else is known of a vote.
COLUMNS = "id A B choice rater iteration policy a_seed b_seed a_tokens b_tokens".split()
MORE = "a_system b_system quality_a quality_b similarity_a similarity_b seconds trial text".split()


@dataclass(frozen=True)
class Rated:
    """Mean opinion scores on one scale: of both systems, and their paired difference."""

    scale: str
    systems: dict[str, Interval]
    difference: Interval | None


@dataclass(frozen=True)
class Result:
    """Votes on pairs by raters who pass the checks, and what follows.

    ``verdict``: None without two systems, and without votes.
    """

    key: Key
    kept: list[Cast]
    raters: dict[str, Rater]
    left_out: dict[str, Rater]
    verdict: Verdict | None
    rated: list[Rated]


def counted(cast: Iterable[Cast], key: Key) -> tuple[list[Cast], dict[str, Rater], dict[str, Rater]]:
    """Return votes on pairs by raters who pass the checks, all raters, and those who are left out."""
    votes = list(cast)
    raters = raters_of(votes)
    left_out = {name: rater for name, rater in raters.items() if rater.failed(key)}
    return [v for v in votes if v.trial.role == "pair" and v.rater not in left_out], raters, left_out


def preferences(kept: Iterable[Cast], key: Key) -> list[Preference]:
    """Return the votes as scores of the second system."""
    return [Preference(vote.rater, vote.trial.id, _score(vote, key)) for vote in kept]


def _score(vote: Cast, key: Key) -> float:
    if vote.choice == "tie":
        return 0.5
    return float((vote.trial.a if vote.choice == "A" else vote.trial.b).system == key.systems[1])


def result(cast: Sequence[Cast], key: Key) -> Result:
    """Return what the votes show."""
    kept, raters, left_out = counted(cast, key)
    shown = verdict(preferences(kept, key)) if key.systems and kept else None
    return Result(key, kept, raters, left_out, shown, [_rated(kept, key, scale) for scale in key.scales])


def _rated(kept: Sequence[Cast], key: Key, scale: str) -> Rated:
    """Return means of the ratings; raters are resampled, and texts."""
    rows = [(vote, pair) for vote in kept if (pair := getattr(vote, scale))]
    systems = key.systems or ["samples"]
    values: dict[str, list[float]] = {system: [] for system in systems}
    raters, texts = [vote.rater for vote, _ in rows], [vote.trial.id for vote, _ in rows]
    for vote, (a, b) in rows:
        by_system = {vote.trial.a.system: a, vote.trial.b.system: b}
        for system in systems:
            values[system].append(float(by_system[system]) if key.systems else (a + b) / 2)
    if not rows:
        return Rated(scale, {}, None)
    means = {name: bootstrap_interval(v, speakers=raters, texts=texts) for name, v in values.items()}
    both = [values[system] for system in systems]
    difference = paired_interval(both[0], both[1], speakers=raters, texts=texts) if key.systems else None
    return Rated(scale, means, difference)


def tally(kept: Sequence[Cast], raters: Mapping[str, Rater], left_out: Mapping[str, Rater]) -> str:
    """Return in words how many votes count, and by how many raters."""
    if kept:
        return f"{count(len(kept), 'vote')} by {count(len({vote.rater for vote in kept}), 'rater')}"
    only = len(raters) - len(left_out)
    why = [f"{count(only, 'rater')}, practice or checks only"] * bool(only)
    why += [f"{count(len(left_out), 'rater')} left out"] * bool(left_out)
    return f"no votes that count yet ({'; '.join(why) or 'no raters'})"


def describe(found: Result) -> str:
    """Return the result in words."""
    key = found.key
    lines = [tally(found.kept, found.raters, found.left_out)]
    if found.kept:
        ties = sum(vote.choice == "tie" for vote in found.kept)
        lines[0] += f", {count(ties, 'tie')} among them"
    if found.left_out:
        names = "; ".join(
            f"{rater.name}: missed {len(rater.missed)} of {rater.checks} checks: {', '.join(rater.missed)}"
            for rater in found.left_out.values()
        )
        out = sum(rater.votes for rater in found.left_out.values())
        lines.append(f"left out: {count(len(found.left_out), 'rater')} with {count(out, 'vote')} ({names})")
    elif checks_of(key) and found.kept:
        lines.append("left out: nobody, every rater passed the attention checks")
    if not found.kept:
        return "\n".join(lines)
    if found.verdict:
        lines.append(found.verdict.describe(*key.systems))
    for rated in found.rated:
        means = ", ".join(f"{name} {interval:.2f}" for name, interval in rated.systems.items()) or "no ratings"
        apart = f"; difference {rated.difference:+.2f}" if rated.difference else ""
        lines.append(f"{SCALES[rated.scale]} (1 to 5) with 95 % intervals: {means}{apart}")
    lines.append(agreement(found.kept))
    firsts = Counter(vote.first for vote in found.kept)
    if decided := firsts["A"] + firsts["B"]:
        lines.append(f"the sound on the left was preferred in {100 * firsts['A'] / decided:.0f} % of {decided} votes")
    return "\n".join(lines)


def to_json(found: Result) -> dict[str, Any]:
    """Return the result as data."""
    key = found.key
    content: dict[str, Any] = {
        "test": key.test,
        "systems": key.systems,
        "votes": len(found.kept),
        "ties": sum(vote.choice == "tie" for vote in found.kept),
        "raters": len({vote.rater for vote in found.kept}),
        "left_out": {rater.name: rater.missed for rater in found.left_out.values()},
        "agreement": agreement(found.kept),
    }
    if key.systems:
        named = {"A": key.systems[0], "B": key.systems[1], None: None}
        content["preferred"] = named[found.verdict.preferred if found.verdict else None]
        content["evidence"] = asdict(found.verdict) if found.verdict else None
    for rated in found.rated:
        content[rated.scale] = {name: interval.to_json() for name, interval in rated.systems.items()}
        if rated.difference:
            content[rated.scale]["difference"] = rated.difference.to_json()
    return content


def to_csv(found: Result) -> str:
    """Return the votes that count, one per line. ``prefer.votes`` reads those on an iteration's samples."""
    handle = io.StringIO()
    table = csv.DictWriter(handle, [*COLUMNS, *MORE], lineterminator="\n")
    table.writeheader()
    for vote in found.kept:
        trial = vote.trial
        line: dict[str, Any] = {
            "id": trial.id, "A": trial.a.label, "B": trial.b.label, "choice": vote.choice, "rater": vote.name,
            "iteration": found.key.iteration, "policy": found.key.policy, "seconds": vote.seconds,
            "a_system": trial.a.system, "b_system": trial.b.system, "trial": trial.trial, "text": trial.text,
        }  # fmt: skip
        for scale in SCALES:
            line[f"{scale}_a"], line[f"{scale}_b"] = getattr(vote, scale) or ("", "")
        for side, details in (("a", trial.a.details), ("b", trial.b.details)):
            line |= {f"{side}_{name}": value for name, value in details.items()}
        table.writerow(marked(line))
    return handle.getvalue()


def to_pairs(found: Result) -> str:
    """Return one JSON line for each two sounds of which more than half of the raters prefer one."""
    by_trial: dict[str, list[Cast]] = defaultdict(list)
    for vote in found.kept:
        by_trial[vote.trial.trial].append(vote)
    lines = []
    for number in sorted(by_trial):
        votes = by_trial[number]
        trial = votes[0].trial
        for choice, chosen, rejected in (("A", trial.a, trial.b), ("B", trial.b, trial.a)):
            won = sum(vote.choice == choice for vote in votes)
            if 2 * won > len(votes):
                lines.append(json.dumps(_pair(trial, chosen, rejected, won, len(votes)), ensure_ascii=False))
    return "".join(line + "\n" for line in lines)


def _pair(trial: Trial, chosen: Side, rejected: Side, won: int, votes: int) -> Row:
    return {
        "id": trial.id,
        "text": trial.text,
        "chosen": chosen.label,
        "rejected": rejected.label,
        "chosen_system": chosen.system,
        "rejected_system": rejected.system,
        "votes_for": won,
        "votes": votes,
    }
