"""Preference pairs from judged samples, by the source that ``prefer.source`` names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import nan
from operator import itemgetter
from pathlib import Path

import numpy as np

from model.judges.panel import Judgement
from model.judges.words import compare
from model.pairs import golden, likelihood, longest, own_samples, random_labels, votes
from model.pairs.candidate import Candidate, Preference
from model.pairs.segment import first_frames
from tasks.common.params import Params
from tasks.common.rows import Row
from tasks.prefer.golden import Golden
from tasks.prefer.votes import ballots
from tasks.prefer.votes.ballots import GOLDEN, Ballots

Rule = Callable[[str, Candidate, list[Candidate]], Sequence[Preference | None]]


@dataclass(frozen=True)
class Source:
    """Where the pairs come from.

    Args:
        prefer: takes a text's utterance id, its golden side and its judged samples; returns its preferences. A
            sample's key is its position among all samples.
        judge: names who decided.
        advice: what to change if no text gave a pair.
        compared_with: the rule that a control is compared with. As many pairs as that gives are kept, by chance.
    """

    prefer: Rule
    judge: str
    advice: str
    compared_with: Rule | None = None


def source_of(
    params: Params, iteration: str, samples: Sequence[Row], golden_sides: Mapping[str, Sequence[int]], judge: str
) -> Source:
    """Return the source that ``prefer.source`` names. Votes are read and checked here, before minutes of judging.

    Raises:
        DataError: the file of votes is not usable.
    """
    p = params.prefer
    advice = "lower prefer.min_wer_gap, or raise prefer.max_chosen_wer, or raise sample.prompts or sample.draws"
    limits = {"min_wer_gap": p.min_wer_gap, "max_chosen_wer": p.max_chosen_wer}
    rng = np.random.default_rng([params.seed, 10, *iteration.encode()])

    def by_wer(_utterance: str, _gold: Candidate, drawn: list[Candidate]) -> list[Preference | None]:
        return [own_samples.prefer(drawn, **limits)]

    rules: dict[str, Rule] = {
        "own_samples": by_wer,
        "golden": lambda _, gold, drawn: [golden.prefer(gold, drawn)],
        "random": lambda _, gold, drawn: [random_labels.relabel(own_samples.prefer(drawn, **limits), rng)],
        "likelihood": lambda _, gold, drawn: [likelihood.prefer(drawn)],
        "longest": lambda _, gold, drawn: [longest.prefer(drawn)],
    }
    if p.source in rules:
        control = p.source in ("likelihood", "longest")
        return Source(rules[p.source], judge, advice, by_wer if control else None)
    cast = ballots.load(Path(p.votes), iteration, samples, golden_sides, params.iterations)
    print(f"prefer@{iteration}: {cast.describe()}")
    return Source(partial(_voted, cast), f"{cast.name},{judge}", "ties make no pair: ask for more votes")


def _voted(cast: Ballots, utterance: str, gold: Candidate, drawn: list[Candidate]) -> list[Preference]:
    return votes.prefer({side.key: side for side in (gold, *drawn)}, cast.by_id.get(utterance, ()))


def pair_up(
    source: Source,
    samples: Sequence[Row],
    judgements: Sequence[Judgement],
    golden_sides: Golden,
    params: Params,
    iteration: str,
) -> Iterator[Row]:
    """Yield rows of schemas.PAIRS without the reference log-probabilities, in the order of the samples.

    Args:
        samples: those of a text are neighbors.
        golden_sides: in the layout of the policy that was sampled.
    """

    def preferences(rule: Rule) -> Iterator[tuple[str, Preference]]:
        judged = zip(samples, judgements, strict=True)
        sides = ((sample["id"], _candidate(i, sample, found)) for i, (sample, found) in enumerate(judged))
        for id_, drawn in groupby(sides, key=itemgetter(0)):
            gold = Candidate(GOLDEN, len(golden_sides.get(id_, ())), True, True, nan, nan, nan)
            for preference in rule(id_, gold, [side for _, side in drawn]):
                if preference is not None:
                    yield id_, preference

    kept: Iterable[tuple[str, Preference]] = preferences(source.prefer)
    if source.compared_with:
        wanted, found = sum(1 for _ in preferences(source.compared_with)), list(kept)
        order = np.random.default_rng([params.seed, 11, *iteration.encode()]).permutation(len(found))
        kept = [found[i] for i in sorted(order[:wanted])]
        if len(kept) < wanted:
            print(f"prefer@{iteration}: warning: {len(kept)} control pairs, but own_samples gives {wanted}")
    for id_, preference in kept:
        golden_side: Row = {"tokens": golden_sides.get(id_, []), "stop": golden_sides.layout.stops[0]}
        golden_side |= {"seed": None, "temperature": None}
        both = preference.chosen, preference.rejected
        chosen, rejected = (golden_side if side.key == GOLDEN else samples[side.key] for side in both)
        if np.array_equal(chosen["tokens"], rejected["tokens"]):
            continue  # nothing to prefer
        sampled = samples[max(side.key for side in both)]  # one side at least is no golden one
        first = (0, 0)
        if params.prefer.credit == "segment":
            said = [judgements[side.key].hypothesis for side in both]
            lengths = len(chosen["tokens"]), len(rejected["tokens"])
            first = _segment(sampled["text"], said, lengths, len(golden_sides.layout.code_tokens.slots))
        yield {
            "id": id_,
            "prompt_id": sampled["prompt_id"],
            "iteration": iteration,
            "text": sampled["text"],
            "context": golden_sides.layout.context(
                sampled["text"], golden_sides.voices.prompt_of(sampled["prompt_id"])
            ),
            **_columns("chosen", preference.chosen, chosen),
            **_columns("rejected", preference.rejected, rejected),
            "chosen_from": first[0],
            "rejected_from": first[1],
            "reason": preference.reason,
            "source": params.prefer.source,
            "policy": sampled["policy"],
            "top_k": sampled["top_k"],
            "max_frames_per_character": sampled["max_frames_per_character"],
            "judge": source.judge,
        }


def _segment(text: str, said: Sequence[str], lengths: tuple[int, int], slots: int) -> tuple[int, int]:
    """Return the token from which on each side of a pair is about the words that were read differently.

    Args:
        said: each side's transcription. lengths: each side's tokens. slots: tokens per frame.
    """
    chosen, rejected = (compare(text, hypothesis) for hypothesis in said)
    frames = lengths[0] // slots, lengths[1] // slots
    first = first_frames(chosen.wanted, (chosen.transcribed, rejected.transcribed), frames)
    return first[0] * slots, first[1] * slots


def _candidate(key: int, sample: Row, judgement: Judgement) -> Candidate:
    return Candidate(
        key=key,
        n_frames=len(sample["tokens"]),
        finished=sample["finished"],
        spoken=judgement.spoken_words > 0,
        wer=min(1.0, judgement.wer),
        similarity=judgement.similarity,
        logprob=float(np.mean(sample["logprobs"])),
    )


def _columns(side: str, candidate: Candidate, sample: Row) -> Row:
    judged = {f"{side}_{name}": getattr(candidate, name) for name in ("finished", "wer", "similarity")}
    drawn = {f"{side}_{name}": sample[name] for name in ("seed", "temperature")}
    stop = [] if sample["stop"] is None else [sample["stop"]]
    return {side: [*sample["tokens"], *stop], **drawn, **judged}
