"""Votes on one iteration's samples: read, and checked against the samples."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.pairs.votes import Vote, by_sides, krippendorff_alpha, majority, rater_agreement
from tasks.common.files import DataError
from tasks.prefer.votes.names import folded
from tasks.prefer.votes.sheet import Line, read, refuse

Row = dict[str, Any]
Recordings = Mapping[str, Sequence[int]]  # tokens by id
GOLDEN = -1  # key of the golden candidate; that of a sample is its position


@dataclass(frozen=True)
class Ballots:
    """Checked votes on one iteration."""

    votes: list[Vote]  # keys are positions among the samples
    by_id: dict[str, list[Vote]]
    digest: str  # of this iteration's votes only, in any order
    blank: int  # lines not filled in
    other_iterations: int  # votes on other iterations
    unverified: int  # votes that do not say which audio they were given on
    without_pair: int  # majorities that make no pair: two equal sounds, or a side without sound
    unread: list[str]  # names in the folder of votes that are no sheets

    @property
    def raters(self) -> int:
        return len({vote.rater for vote in self.votes})

    @property
    def name(self) -> str:
        """Name of these judges in tables: ``votes@<digest>:<number of raters>``."""
        return f"votes@{self.digest}:{self.raters}"

    def describe(self) -> str:
        """Return the counts, in words."""
        groups = by_sides(self.votes).values()
        undecided = sum(majority(group) is None for group in groups)
        text = (
            f"{self.name}: {len(self.votes)} votes by {self.raters} rater(s) on {len(groups)} pairs of sounds: "
            f"{len(groups) - undecided} with a majority, {undecided} ties"
        )
        if self.without_pair:
            text += f"; {self.without_pair} of the majorities make no pair: the two sounds are equal, or one is silent"
        if self.blank:
            text += f"; {self.blank} lines not filled in"
        if self.other_iterations:
            text += f"; {self.other_iterations} votes on other iterations"
        if self.unread:
            text += f"\nwarning: not read, as these are no sheets of votes: {', '.join(self.unread)}"
        if self.unverified:
            text += (
                f"\nwarning: {self.unverified} votes do not say which samples were heard (columns policy, a_seed, "
                "b_seed, a_tokens, b_tokens of an exported sheet), so it cannot be checked that it was these"
            )
        return text

    def rater_agreement(self) -> str:
        """Return the inter-rater agreement, in words."""
        shared = [vote for group in by_sides(self.votes).values() if len(group) > 1 for vote in group]
        if not shared:
            return "agreement: not defined, no two raters heard the same pair"
        alpha = krippendorff_alpha(self.votes)
        beyond = "not defined, all votes are alike" if math.isnan(alpha) else f"{alpha:.2f}"
        return (
            f"agreement: {100 * rater_agreement(self.votes):.0f} % of the votes on the same pair; "
            f"Krippendorff's alpha (0: chance, 1: perfect) {beyond}"
        )


def load(
    path: Path, iteration: str, samples: Sequence[Row], golden: Recordings, iterations: Collection[str] = ()
) -> Ballots:
    """Read the votes on this iteration. A line without the column ``iteration`` counts as one of it.

    Args:
        samples: of schemas.SAMPLES. golden: tokens of the recordings by id: where a text has golden speech.
        iterations: all that exist, so that a mistyped one is refused; empty: not checked.

    Raises:
        DataError: the file cannot be read; an unknown iteration, text or draw; golden speech of a text without any;
            A equal to B; a rater who voted twice on two sounds, even with A and B swapped; votes on other audio than
            the samples; no votes.
    """
    sheet = read(path)
    own = [line for line in sheet.lines if line.iteration in ("", iteration)]
    problems, unverified, stale = list(sheet.problems), 0, []
    if iterations:
        there_are = ", ".join(iterations)
        problems += [
            f'{line.where}: iteration is "{line.iteration}", but params.yaml has {there_are}'
            for line in sheet.lines
            if line.iteration not in ("", iteration, *iterations)
        ]
    if not own and not problems:
        raise DataError(
            f"{path} holds {len(sheet.lines)} votes, none of them on iteration {iteration}; "
            f"`speechalign votes export --iteration {iteration}` makes the sheet to fill in"
        )
    draws: dict[str, dict[str, int]] = defaultdict(dict)
    for index, sample in enumerate(samples):
        draws[sample["id"]][str(sample["draw"])] = index
    votes: dict[str, list[Vote]] = defaultdict(list)
    first: dict[tuple[str, int, int, str], str] = {}
    for line in own:
        if problem := _unknown(line, iteration, draws, golden):
            problems.append(f"{line.where}: {problem}")
            continue
        a, b = (GOLDEN if side.lower() == "golden" else draws[line.id][side] for side in (line.a, line.b))
        rater = folded(line.rater)
        vote = Vote(a, b, {"a": a, "b": b, "tie": None}[line.choice], rater)
        voted = (line.id, *vote.sides, rater)
        if voted in first:
            problems.append(
                f"{line.where}: {line.rater} voted twice on {line.a} and {line.b} of {line.id}; first in {first[voted]}"
            )
        first.setdefault(voted, line.where)
        verified, other = _check_audio(line, a, b, samples, golden)
        unverified += not verified
        stale += [f"{line.where}: {text}" for text in other]
        votes[line.id].append(vote)
    refuse(path, problems)
    refuse(
        path,
        stale,
        f"these votes are on other audio than iteration {iteration} has now: sample again with the seed, policy and "
        "decoding settings of then, or export and vote again; nothing was written",
    )
    return Ballots(
        votes=[vote for votes_ in votes.values() for vote in votes_],
        by_id=dict(votes),
        digest=_digest(votes, samples),
        blank=sheet.blank,
        other_iterations=len(sheet.lines) - len(own),
        unverified=unverified,
        without_pair=_count_without_pair(votes, samples, golden),
        unread=sheet.unread,
    )


def _unknown(line: Line, iteration: str, draws: dict[str, dict[str, int]], golden: Recordings) -> str | None:
    """Return a message about what the line names that does not exist, if anything."""
    if line.id not in draws:
        return f"iteration {iteration} did not sample {line.id} (votes on several iterations need a column iteration)"
    if "golden" in (line.a.lower(), line.b.lower()) and line.id not in golden:
        return f"{line.id} has no golden speech: train has no recording of this text (texts.sample corpus has)"
    for title, side in (("A", line.a), ("B", line.b)):
        if side.lower() != "golden" and side not in draws[line.id]:
            return f'{title} is "{side}", expected golden or a draw of {line.id}: {", ".join(draws[line.id])}'
    return f"A and B are both {line.a}" if line.a.lower() == line.b.lower() else None


def _check_audio(line: Line, a: int, b: int, samples: Sequence[Row], golden: Recordings) -> tuple[bool, list[str]]:
    """Return whether the line says which audio was heard, and where that differs from the samples."""
    facts = [("policy", line.policy, samples[max(a, b)]["policy"])]
    for title, key, seed, digest in (("A", a, line.a_seed, line.a_tokens), ("B", b, line.b_seed, line.b_tokens)):
        if key != GOLDEN:
            then = hex(int(seed)) if seed.isdecimal() else seed
            facts.append((f"seed of {title}", then, hex(samples[key]["seed"])))
        facts.append((f"token digest of {title}", digest, token_digest(tokens_of(samples, golden, line.id, key))))
    other = [f"{name} was {then}, now it is {now}" for name, then, now in facts if then and then != now]
    return all(then for _, then, _ in facts), other[:1]


def _count_without_pair(votes: dict[str, list[Vote]], samples: Sequence[Row], golden: Recordings) -> int:
    """Count the majorities that ``prefer@k`` leaves out: the two sides have equal tokens, or one side has none."""
    count = 0
    for id_, cast in votes.items():
        for sides, group in by_sides(cast).items():
            a, b = (tokens_of(samples, golden, id_, key) for key in sides)
            count += majority(group) is not None and (not a or not b or a == b)
    return count


def tokens_of(samples: Sequence[Row], golden: Recordings, id_: str, key: int) -> list[int]:
    """Return the tokens of a sample by its position, or of the golden utterance."""
    return np.asarray(golden[id_] if key == GOLDEN else samples[key]["tokens"]).tolist()


def token_digest(tokens: list[int]) -> str:
    """Return a name of the exact tokens. Its prefix keeps spreadsheets from reading it as a number."""
    return "md5:" + hashlib.md5(np.asarray(tokens, np.int32).tobytes(), usedforsecurity=False).hexdigest()[:8]


def _digest(votes: dict[str, list[Vote]], samples: Sequence[Row]) -> str:
    def draw(key: int | None) -> int | None:
        return key if key is None or key == GOLDEN else samples[key]["draw"]

    cast = [json.dumps([id_, *map(draw, (*v.sides, v.winner)), v.rater]) for id_, all_ in votes.items() for v in all_]
    return hashlib.md5("\n".join(sorted(cast)).encode(), usedforsecurity=False).hexdigest()[:12]
