"""How often the gate decides right: ``python -m benchmarks.gate``.

Candidates with known true errors are simulated against a champion of ``--long`` and ``--recorded`` WER, on a dev set
of the size that params.yaml gives, and judged by the gate with its limits. Prints:

1. the operating curve: of candidates that are truly equal, worse or better, the share with each verdict;
2. false alarms: what becomes of gains that only the own judge sees, and how often real gains are suspected;
3. drift: the champion's true errors after 20 rounds, where each candidate is about as good as the champion.

Errors vary as those of 2000 samples of a policy of this project did: with a text's length (8 words have three times the
errors per word of 5), little between texts of one length, more between short ones. The held-out recognizer misreads
12 % of the words that are right, most of them on the same texts each time.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import typer

from tasks.common.gate import Decision, Limits, decide, limits_of
from tasks.common.params import load
from tasks.common.reward_hacking import SUSPECTED

Rows = list[dict[str, Any]]
# Errors per word of a text, over those of its set, by number of words; and how much they vary from text to text (the
# shape of a gamma distribution: 1 over the squared coefficient of variation) and from draw to draw.
BY_LENGTH = {"recorded": {2: 0.6, 3: 0.75, 4: 1.35}, "long": {5: 0.35, 6: 0.75, 7: 1.1, 8: 1.4}}
TEXT_SHAPE = {"recorded": 1.5, "long": 20.0}
DRAW_SHAPE = {"recorded": 2.0, "long": 100.0}
SPEAKERS, SPEAKER_SHAPE = 56, 30.0
MISREAD, MISSED = 0.12, 0.10  # by the held-out recognizer: right words read as others, wrong ones read as right


@dataclass(frozen=True)
class Policy:
    """True quality of a policy. ``unreal``: share of its long errors that the own judge fails to see."""

    long: float
    recorded: float
    similarity: float = 0.70
    unreal: float = 0.0

    def times(self, long: float = 1.0, recorded: float = 1.0, **changes: float) -> Policy:
        """The policy with its errors multiplied."""
        return replace(self, long=self.long * long, recorded=self.recorded * recorded, **changes)


@dataclass(frozen=True)
class DevSet:
    """Texts with what makes each hard, one entry per text."""

    which: list[str]
    speaker: np.ndarray
    words: np.ndarray
    hard: np.ndarray  # factor of the true error rate
    misread: np.ndarray  # by the held-out recognizer, per word
    similarity: np.ndarray  # of this voice and prompt, from the mean
    pitch: np.ndarray  # semitones

    @classmethod
    def draw(cls, texts: int, rng: np.random.Generator) -> DevSet:
        """``texts`` of each set."""
        which = [name for name in BY_LENGTH for _ in range(texts)]
        speaker = rng.integers(0, SPEAKERS, len(which))
        words = np.array([rng.choice(list(BY_LENGTH[name])) for name in which])
        of_speaker = _factor(SPEAKER_SHAPE, SPEAKERS, rng), rng.normal(0, 0.03, SPEAKERS)
        of_text = _factor([TEXT_SHAPE[name] for name in which], len(which), rng)
        of_length = np.array([BY_LENGTH[name][n] for name, n in zip(which, words, strict=True)])
        return cls(
            which=which,
            speaker=speaker,
            words=words,
            hard=of_speaker[0][speaker] * of_text * of_length,
            misread=np.minimum(MISREAD * _factor(0.7, len(which), rng), 0.9),
            similarity=of_speaker[1][speaker] + rng.normal(0, 0.065, len(which)),
            pitch=3.3 * _factor(2.5, len(which), rng),
        )

    def judged(self, policy: Policy, draws: int, rng: np.random.Generator) -> Rows:
        """Judged utterances of the policy, as rows of ``schemas.UTTERANCES`` that the gate reads."""
        shape = (draws, len(self.which))
        rate = np.array([getattr(policy, name) for name in self.which])
        long = np.array([name == "long" for name in self.which])
        clustered = _factor([DRAW_SHAPE[name] for name in self.which], shape, rng)
        errors = rng.binomial(self.words, np.minimum(rate * self.hard * clustered, 0.95))
        seen = rng.binomial(errors, np.where(long, 1 - policy.unreal, 1.0))
        held_out = rng.binomial(errors, 1 - MISSED) + rng.binomial(self.words - errors, self.misread)
        similarity = policy.similarity + self.similarity + rng.normal(0, 0.02, shape)
        pitch = self.pitch * _factor(6.0, shape, rng)
        seconds = self.words * 0.4 * rng.normal(1, 0.13, shape)
        finished = rng.random(shape) > 0.005
        return [
            {
                "id": f"{self.which[i]}{i}",
                "set": self.which[i],
                "speaker": f"s{self.speaker[i]}",
                "text": "",
                "prompt_id": "",
                "seed": draw,
                "finished": bool(finished[draw, i]),
                "word_errors": int(seen[draw, i]),
                "words": int(self.words[i]),
                "held_out_word_errors": int(held_out[draw, i]),
                "similarity": float(similarity[draw, i]),
                "seconds": float(seconds[draw, i]),
                "golden_seconds": None if long[i] else float(self.words[i] * 0.4),
                "f0_spread": float(pitch[draw, i]),
            }
            for i in range(len(self.which))
            for draw in range(draws)
        ]


def _factor(shape: float | list[float], size: int | tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Positive factors with mean 1 and variance 1 / shape."""
    return rng.gamma(shape, 1 / np.asarray(shape), size)


def outcome(decision: Decision) -> str:
    """Verdict for the table; a refusal for suspected reward hacking is one of its own."""
    return "suspected" if SUSPECTED in decision.reason and not decision.promoted else decision.verdict


def operating_curve(
    champion: Policy, candidate: Policy, candidates: int, texts: int, draws: int, limits: Limits
) -> Counter[str]:
    """Verdicts on candidates of one true quality, each on dev texts and draws of its own."""
    found: Counter[str] = Counter()
    for seed in range(candidates):
        rng = np.random.default_rng(seed)
        dev = DevSet.draw(texts, rng)
        rows = dev.judged(champion, draws, rng)
        found[outcome(decide(dev.judged(candidate, draws, rng), limits, champion=rows, start=rows))] += 1
    return found


def drift(
    champion: Policy, step: float, spread: float, loops: int, texts: int, draws: int, limits: Limits
) -> list[float]:
    """The champion's true long and recorded errors after 20 rounds on one dev set, over those at the start.

    Each round's candidate has the champion's true errors times ``step``, times a factor for each set whose logarithm
    has the standard deviation ``spread``.
    """
    ratios = []
    for seed in range(loops):
        rng = np.random.default_rng([seed, 1])
        dev, now = DevSet.draw(texts, rng), champion
        start = dev.judged(champion, draws, rng)
        former, rows = [start], start
        for _ in range(20):
            factors = step * np.exp(rng.normal(0, spread, 2))
            candidate = now.times(*factors)
            judged = dev.judged(candidate, draws, rng)
            if decide(judged, limits, champion=rows, start=start, former=former[1:-1]).promoted:
                now, rows = candidate, judged
                former.append(judged)
        ratios.append((now.long + now.recorded) / (champion.long + champion.recorded))
    return ratios


def main(
    long: float = 0.25, recorded: float = 0.015, candidates: int = 200, loops: int = 20, resamples: int = 1000
) -> None:
    """Measure the gate of params.yaml; ``long`` and ``recorded`` are the champion's WER."""
    params = load()
    limits = dataclasses.replace(limits_of(params), resamples=resamples)
    texts, draws = params.prepare.dev_utterances, params.evaluate.dev_draws
    champion = Policy(long, recorded)
    print(f"champion: {long:.1%} WER on long texts, {recorded:.1%} on recorded ones; {texts} dev texts of each set,")
    print(f"{draws} draws; {candidates} candidates per row, each with dev texts of its own\n")
    cases = {
        "equal": champion,
        "30 % worse": champion.times(1.3, 1.3),
        "30 % better": champion.times(0.7, 0.7),
        "long 30 % better, recorded equal": champion.times(0.7),
        "long 30 % better, recorded 2x": champion.times(0.7, 2.0),
        "long 60 % better, recorded equal": champion.times(0.4),
        "long 30 % worse, similarity +0.03": champion.times(1.3, similarity=champion.similarity + 0.03),
        "similarity +0.03": champion.times(similarity=champion.similarity + 0.03),
        "unreal: long 30 % by own judge": champion.times(unreal=0.3),
        "unreal: long 1.8 points by own": champion.times(unreal=0.018 / long),
        "half real: long 15 % of 30 %": champion.times(0.85, unreal=1 - 0.7 / 0.85),
    }
    columns = ("promoted", "not confirmed", "suspected", "refused")
    print(f"{'candidate':36}" + "".join(f"{name:>15}" for name in columns))
    for name, candidate in cases.items():
        found = operating_curve(champion, candidate, candidates, texts, draws, limits)
        print(f"{name:36}" + "".join(f"{found[column] / candidates:15.1%}" for column in columns), flush=True)
    print("\nchampion's true errors after 20 rounds, times those at the start: mean over loops, worst loop")
    for name, step, spread in (
        ("equal candidates", 1.0, 0.0),
        ("as good on average (sd 20 %)", 1.0, 0.2),
        ("each 5 % worse than the champion", 1.05, 0.0),
    ):
        ratios = drift(champion, step, spread, loops, texts, draws, limits)
        print(f"{name:36}{np.mean(ratios):15.2f}{max(ratios):15.2f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
