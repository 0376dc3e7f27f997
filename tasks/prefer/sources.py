"""Preference pairs from judged samples, by the source that ``prefer.source`` names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path

import numpy as np

from model.judges.panel import Judgement
from model.pairs import golden, own_samples, votes
from model.pairs.candidate import Candidate, Preference
from tasks.common.params import Params
from tasks.common.utterances import Row
from tasks.prefer.votes import ballots
from tasks.prefer.votes.ballots import GOLDEN, Ballots


@dataclass(frozen=True)
class Source:
    """Where the pairs come from.

    Args:
        prefer: takes a text's utterance id, its golden side and its judged samples; returns its preferences. A
            sample's key is its position among all samples.
        judge: names who decided.
        advice: what to change if no text gave a pair.
    """

    prefer: Callable[[str, Candidate, list[Candidate]], Sequence[Preference | None]]
    judge: str
    advice: str


def source_of(params: Params, iteration: str, samples: list[Row], rows: Mapping[str, Row], judge: str) -> Source:
    """Return the source that ``prefer.source`` names. Votes are read and checked here, before minutes of judging.

    Raises:
        DataError: the file of votes is not usable.
    """
    p = params.prefer
    advice = "lower prefer.min_wer_gap, or raise sample.prompts or sample.draws"
    if p.source == "golden":
        return Source(lambda _, gold, drawn: [golden.prefer(gold, drawn)], judge, advice)
    if p.source == "own_samples":
        return Source(lambda _, gold, drawn: [own_samples.prefer(drawn, p.min_wer_gap)], judge, advice)
    cast = ballots.load(Path(p.votes), iteration, samples, rows, params.iterations)
    print(f"prefer@{iteration}: {cast.describe()}")
    return Source(partial(_voted, cast), f"{cast.name},{judge}", "ties make no pair: ask for more votes")


def _voted(cast: Ballots, utterance: str, gold: Candidate, drawn: list[Candidate]) -> list[Preference]:
    return votes.prefer({side.key: side for side in (gold, *drawn)}, cast.by_id.get(utterance, ()))


def pair_up(
    source: Source,
    samples: list[Row],
    judgements: list[Judgement],
    rows: Mapping[str, Row],
    params: Params,
    iteration: str,
) -> list[Row]:
    """Rows of schemas.PAIRS without the reference log-probabilities, in the order of the samples."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[sample["id"]].append(index)
    pairs = []
    for utterance, members in groups.items():
        # A text without a recording has no golden side: one of 0 frames.
        golden_side: Row = {
            "tokens": rows[utterance]["codes"][0] if utterance in rows else [],
            "seed": None,
            "temperature": None,
        }
        gold = Candidate(GOLDEN, len(golden_side["tokens"]), True, nan, nan)
        drawn = [
            Candidate(i, len(samples[i]["tokens"]), samples[i]["finished"], judgements[i].wer, judgements[i].similarity)
            for i in members
        ]
        for preference in source.prefer(utterance, gold, drawn):
            if preference is None:
                continue
            chosen, rejected = (
                golden_side if side.key == GOLDEN else samples[side.key]
                for side in (preference.chosen, preference.rejected)
            )
            if np.array_equal(chosen["tokens"], rejected["tokens"]):
                continue  # nothing to prefer
            sampled = samples[max(preference.chosen.key, preference.rejected.key)]  # one side at least is no golden one
            pairs.append(
                {
                    "id": utterance,
                    "prompt_id": sampled["prompt_id"],
                    "iteration": iteration,
                    "text": sampled["text"],
                    "prompt": rows[sampled["prompt_id"]]["codes"][0][: params.prompt_frames],
                    **_columns("chosen", preference.chosen, chosen),
                    **_columns("rejected", preference.rejected, rejected),
                    "reason": preference.reason,
                    "source": params.prefer.source,
                    "policy": sampled["policy"],
                    "top_k": sampled["top_k"],
                    "max_frames_per_character": sampled["max_frames_per_character"],
                    "judge": source.judge,
                }
            )
    return pairs


def _columns(side: str, candidate: Candidate, sample: Row) -> Row:
    judged = {f"{side}_{name}": getattr(candidate, name) for name in ("finished", "wer", "similarity")}
    return {side: sample["tokens"], **{f"{side}_{name}": sample[name] for name in ("seed", "temperature")}, **judged}
