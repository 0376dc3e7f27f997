"""How often as many more texts as `speechalign gate` names suffice: ``python -m benchmarks.more_texts``.

Made-up systems that differ in truth are compared. Where so many texts do not show it, as many more as were named are
added, and all texts are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from benchmarks.made_systems import Row, system
from benchmarks.verdict import SECOND
from tasks.gate.margins import Margins
from tasks.gate.power import DRAW_SHAPE, TEXT_SHAPE
from tasks.gate.verdict import Verdict, judge

WER = 0.1
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "20 texts, WER 50 % lower": (20, {"wer": 0.05}),
    "60 texts, WER 20 % lower": (60, {"wer": 0.08}),
    "60 texts, WER 30 % lower": (60, {"wer": 0.07}),
    "60 texts, WER 10 % lower, SIM +0.03": (60, {"wer": 0.09, "similarity": 0.73}),
    "200 texts, WER 20 % lower": (200, {"wer": 0.08}),
    "60 texts, equal": (60, {"wer": WER}),
}


def recorded(texts: int, seed: int, quality: dict[str, Any]) -> tuple[list[Row], list[Row]]:
    """Rows of the system before and of one with this quality, of texts that no other seed has."""
    shapes: dict[str, Any] = {"text_shape": TEXT_SHAPE, "draw_shape": DRAW_SHAPE, "material": seed}
    before = system(texts, wer=WER, second=SECOND * WER, seed=2 * seed, **shapes)
    after = system(texts, second=SECOND * quality["wer"], seed=2 * seed + 1, **shapes, **quality)
    first, second = ([{**row, "id": f"{seed} {row['id']}"} for row in rows] for rows in (before, after))
    return first, second


def compared(rows: tuple[list[Row], list[Row]], resamples: int) -> Verdict:
    """The gate's verdict."""
    return judge(*rows, Margins(), ("before", "after"), resamples)


def extended(rows: tuple[list[Row], list[Row]], more: int, seed: int, quality: dict[str, Any]) -> Any:
    """The same rows and those of more texts."""
    return tuple(old + new for old, new in zip(rows, recorded(more, seed, quality), strict=True))


def main(systems: int = 60, resamples: int = 1000) -> None:
    """Measure it; ``systems`` is the number of pairs per line."""
    print(f"{WER:.0%} WER before; {systems} pairs of systems per line\n")
    print(f"{'':38}{'shown':>7}{'number named':>14}{'median':>8}{'then better':>13}")
    for name, (texts, quality) in CASES.items():
        rows = [recorded(texts, seed, quality) for seed in range(systems)]
        first = [compared(own, resamples) for own in rows]
        asked = {seed: found.more_texts for seed, found in enumerate(first) if found.more_texts}
        then = [
            compared(extended(rows[seed], more, systems + seed, quality), resamples).answer == "better"
            for seed, more in asked.items()
        ]
        shown = sum(found.answer != "not shown" for found in first) / systems
        median = int(np.median(list(asked.values()))) if asked else 0
        shares = f"{shown:>7.0%}{len(asked) / systems:>14.0%}{median:>8}{np.mean(then or [0]):>13.0%}"
        print(f"{name:38}{shares}", flush=True)


if __name__ == "__main__":
    typer.run(main)
