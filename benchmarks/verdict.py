"""How often `speechalign gate` decides right: ``python -m benchmarks.verdict``.

Systems of known true quality are made up, and compared by the gate's own verdict with its default margins. Prints

1. the operating curve: of systems that are equal, worse, better, or better at something else's expense, the share with
   each verdict;
2. how often a reduction of word errors is found, next to what ``speechalign gate power`` says;
3. how often 95 % intervals of the difference cover the true one, with draws resampled as everywhere in this project
   (where there are few texts) and always;
4. what the verdict says of few texts: of equal systems, and of one with a tenth of the errors. ``--only-few`` prints
   this part alone.

Errors vary from text to text and from draw to draw as those of 2,000 samples of this project's policies did
(``benchmarks/gate.py``). The second recognizer has three times the word errors of the first, on the same texts.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import typer

from benchmarks.made_systems import WORDS, system
from model.statistics import FEW, interval_of, resampled
from tasks.gate.margins import Margins
from tasks.gate.power import DRAW_SHAPE, TEXT_SHAPE, Design
from tasks.gate.verdict import Verdict, judge

FEW_TEXTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 40)
SECOND = 3.0  # word errors of the second recognizer over those of the first


def compared(quality: dict[str, Any], *, wer: float, texts: int, draws: int, seed: int, resamples: int) -> Verdict:
    """The verdict on a system of this quality; the system before has ``wer`` and the defaults."""
    shapes: dict[str, Any] = {"text_shape": TEXT_SHAPE, "draw_shape": DRAW_SHAPE, "material": seed}
    before = system(texts, draws, wer=wer, second=SECOND * wer, seed=2 * seed, **shapes)
    asked = {"wer": wer, **quality}
    asked.setdefault("second", SECOND * asked["wer"])
    after = system(texts, draws, seed=2 * seed + 1, **shapes, **asked)
    return judge(before, after, Margins(), ("before", "after"), resamples, seed)


def coverage(texts: int, draws: int, wer: float, few: int, pairs: int) -> tuple[float, float]:
    """How often an interval of equal systems' difference in WER covers zero, and its mean width.

    Args:
        few: with fewer texts than this, draws are resampled too.
    """
    rng, errors = np.random.default_rng(texts), []
    for _ in range(pairs):
        hard = rng.gamma(TEXT_SHAPE, 1 / TEXT_SHAPE, (texts, 1))
        drawn = rng.gamma(DRAW_SHAPE, 1 / DRAW_SHAPE, (2, texts, draws))
        errors.append(rng.binomial(WORDS, np.minimum(0.9, wer * hard * drawn)).reshape(2, -1))
    of, words = np.repeat(np.arange(texts), draws), np.full(texts * draws, WORDS)
    found = []
    for seed, (before, after) in enumerate(errors):
        first, second = resampled([(before, words), (after, words)], 400, seed, texts=of, few=few)
        found.append(interval_of(0.0, second - first))
    return sum(f.low <= 0 <= f.high for f in found) / pairs, float(np.mean([f.high - f.low for f in found]))


def few_texts(systems: int, wer: float = 0.2) -> None:
    """Print the fourth part: one draw per text, and a WER at which few texts have errors enough to differ."""
    print(f"\nfew texts of {WORDS} words, 1 draw, {wer:.0%} WER before; {systems} pairs of systems per cell\n")
    print(f"{'texts':>5}{'equal: better':>16}{'not shown':>12}{'worse':>8}{'tenth of errors: better':>32}{'worse':>8}")
    for texts in FEW_TEXTS:
        shares = []
        for quality in ({}, {"wer": wer / 10}):
            options = {"wer": wer, "texts": texts, "draws": 1, "resamples": 1000}
            found = Counter(compared(quality, seed=seed, **options).answer for seed in range(systems))  # type: ignore[arg-type]
            shares.append([found[answer] / systems for answer in ("better", "not shown", "worse")])
        (better, open_, worse), (won, _, lost) = shares
        print(f"{texts:>5}{better:>16.1%}{open_:>12.1%}{worse:>8.1%}{won:>32.0%}{lost:>8.0%}", flush=True)


def main(
    wer: float = 0.05,
    texts: int = 200,
    draws: int = 4,
    systems: int = 200,
    resamples: int = 1000,
    only_few: bool = False,
) -> None:
    """Measure the verdict; ``wer`` is that of the system before, ``systems`` the number of pairs per line."""
    if only_few:
        few_texts(systems)
        return
    print(f"{texts} texts of {WORDS} words, {draws} draws, {wer:.0%} WER before; {systems} pairs of systems per line\n")
    cases: dict[str, dict[str, Any]] = {
        "equal": {},
        "WER 20 % lower": {"wer": 0.8 * wer},
        "WER 30 % lower": {"wer": 0.7 * wer},
        "WER 50 % lower": {"wer": 0.5 * wer},
        "WER 50 % lower, first recognizer only": {"wer": 0.5 * wer, "second": SECOND * wer},
        "WER 30 % higher": {"wer": 1.3 * wer},
        "WER 50 % lower, SIM -0.05": {"wer": 0.5 * wer, "similarity": 0.65},
        "WER 50 % lower, MOS -0.3": {"wer": 0.5 * wer, "mos": 3.2},
        "WER 50 % lower, F0 spread 30 % less": {"wer": 0.5 * wer, "f0_spread": 3.5},
        "WER 50 % lower, 30 % slower": {"wer": 0.5 * wer, "speed": 1.75},
        "WER 50 % lower, 5 % of files missing": {"wer": 0.5 * wer, "failed": 0.05},
        "SIM +0.03": {"similarity": 0.73},
        "MOS +0.1": {"mos": 3.6},
    }
    options = {"wer": wer, "texts": texts, "draws": draws, "resamples": resamples}
    print(f"{'system after':42}{'better':>10}{'not shown':>12}{'worse':>10}")
    found_of: dict[str, list[Verdict]] = {}
    for name, quality in cases.items():
        found_of[name] = [compared(quality, seed=seed, **options) for seed in range(systems)]  # type: ignore[arg-type]
        counts = Counter(verdict.answer for verdict in found_of[name])
        shares = [counts[answer] / systems for answer in ("better", "not shown", "worse")]
        print(f"{name:42}{shares[0]:10.0%}{shares[1]:12.0%}{shares[2]:10.0%}", flush=True)
    print("\nhow often the lower WER alone is significant, and what `gate power` says")
    plan = Design(texts, draws, wer, WORDS)
    for share in (20, 30, 50):
        verdicts = found_of[f"WER {share} % lower"]
        seen = sum(any(f.name == "wer" and f.state == "better" for f in v.findings) for v in verdicts)
        print(f"{share} % lower: {seen / systems:.0%}, {plan.chance(share / 100):.0%}")
    intervals(wer)
    few_texts(systems)


def intervals(wer: float, pairs: int = 400) -> None:
    """Print the third part."""
    print(f"\nhow often 95 % intervals cover the truth; {pairs} pairs of equal systems each")
    print(f"{'':24}{'as here':>10}{'draws always':>14}   width")
    for texts in (10, 40, 200):
        for draws in (2, 4):
            covered, width = coverage(texts, draws, wer, FEW, pairs)
            always, wider = coverage(texts, draws, wer, texts + 1, pairs)
            name = f"{texts} texts, {draws} draws"
            print(f"{name:24}{covered:10.1%}{always:14.1%}   {wider / width - 1:+.0%}", flush=True)


if __name__ == "__main__":
    typer.run(main)
