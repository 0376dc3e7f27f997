"""The table of metrics: names, columns, titles, units. No torch.

To add a metric:

1. Add its row to :data:`METRICS`. Evaluation, gate, flow, study and report read that table.
2. Compute its value per utterance, as a new field. Judges that choose pairs: ``Panel.judge`` returns
   :class:`model.judges.panel.Judgement`. Held-out judges: ``HeldOut._judge`` returns
   :class:`model.judges.held_out.SecondOpinion`.
3. Write the column: ``judge`` of :mod:`tasks.common.evaluation` passes the field on, and ``schemas.UTTERANCES`` gives
   its type.

``tests/test_adding_a_metric.py`` shows the first step, and where the metric then appears.
A metric whose column is empty in every utterance is left out everywhere: there was no such judge, or, for the
duration ratio of the long set, no recording to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.statistics import Interval, ratio_or_mean

Row = Mapping[str, Any]  # of schemas.UTTERANCES


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Name of a measured quantity, and how its numbers are written."""

    name: str  # in metrics.json and MLflow
    title: str
    short: str  # title of a column
    unit: str = ""  # of a value
    difference_unit: str = ""
    digits: int  # after the decimal point, as shown
    scale: float = 1.0  # from the stored number to the shown one
    better: int  # -1: lower, +1: higher, 0: neither (a duration ratio is best near 1)

    @property
    def heading(self) -> str:
        """Short title with the unit, for tables of plain text: ``WER %``, ``WER %, held out``."""
        name, comma, rest = self.short.partition(",")
        return f"{name} {self.unit}".rstrip() + comma + rest

    @property
    def in_words(self) -> str:
        """Short title within a sentence: ``WER``, ``F0 spread``, ``speed``."""
        abbreviation = self.short[1:2].isupper() or self.short[1:2].isdigit()
        return self.short if abbreviation else self.short[:1].lower() + self.short[1:]

    @property
    def difference_digits(self) -> int:
        """One digit more for rates than their values have, so that an interval's end near zero shows its sign."""
        return self.digits + (self.scale == 100)

    def text(self, score: Interval) -> str:
        """A value with its interval in the shown unit, which is not written: ``4.9 [4.0, 5.8]``."""
        return format(score.scaled(self.scale), f".{self.digits}f")

    def difference_text(self, difference: Interval) -> str:
        """A difference with its interval and signs: ``-1.23 [-2.10, -0.40]``."""
        return format(difference.scaled(self.scale), f"+.{self.difference_digits}f")


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A quantity computed from columns of judged utterances."""

    numerator: str  # column of schemas.UTTERANCES; of a yes or no, the share of no
    denominator: str | None = None  # of the ratio of sums over utterances; None: a mean
    held_out: bool = False  # measured by a judge that took no part in choosing pairs
    confirmed_by: str | None = None  # the metric by which a held-out judge measures the same
    may_lack: bool = False  # whether a single utterance may have no value
    summary: bool = True  # whether the flow's table of results shows it
    in_loop: bool = True  # False: measured by `speechalign gate` alone, so far

    def measured(self, row: Row) -> bool:
        """Whether this utterance has a value: its judge gave one, and there is something to compare it with."""
        needed = (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)
        return all(row.get(column) is not None for column in needed)

    def columns(self, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray | None]:
        """Numerators and denominators ``(utterances,)``; None for a mean.

        Raises:
            ValueError: some utterances lack a value.
        """
        if not all(map(self.measured, rows)):
            raise ValueError(f"some of {len(rows)} utterances lack {self.numerator}: judge all of them, or none")
        below = None if self.denominator is None else np.array([row[self.denominator] for row in rows])
        above = np.array([row[self.numerator] for row in rows])
        return (~above if above.dtype == bool else above), below

    def value(self, rows: Sequence[Row]) -> float:
        """Value over utterances, without its interval."""
        return ratio_or_mean(*self.columns(rows))


RATE: dict[str, Any] = {"unit": "%", "difference_unit": "points", "digits": 1, "scale": 100.0, "better": -1}
_SIMILARITY: dict[str, Any] = {"digits": 3, "better": +1}
_TABLE = (
    Metric(
        name="wer",
        numerator="word_errors",
        denominator="words",
        title="Word error rate",
        short="WER",
        confirmed_by="held_out_wer",
        **RATE,
    ),
    Metric(
        name="folded_wer",
        numerator="folded_word_errors",
        denominator="folded_words",
        title="Word error rate with numbers as figures",
        short="WER, folded",
        summary=False,
        **RATE,
    ),
    Metric(
        name="deletions",
        numerator="deletions",
        denominator="words",
        title="Words left out, per word asked",
        short="Deletions",
        summary=False,
        **RATE,
    ),
    Metric(
        name="insertions",
        numerator="insertions",
        denominator="words",
        title="Words added or repeated, per word asked",
        short="Insertions",
        summary=False,
        **RATE,
    ),
    Metric(
        name="spoken",
        numerator="spoken_words",
        denominator="words",
        title="Words spoken per word asked",
        short="Spoken",
        digits=3,
        better=0,
        summary=False,
    ),
    Metric(
        name="unfinished",
        numerator="finished",
        title="Samples cut off at the length limit",
        short="Unfinished",
        summary=False,
        **RATE,
    ),
    Metric(
        name="cer",
        numerator="character_errors",
        denominator="characters",
        title="Character error rate",
        short="CER",
        summary=False,
        **RATE,
    ),
    Metric(
        name="similarity",
        numerator="similarity",
        title="Speaker similarity",
        short="SIM",
        confirmed_by="held_out_similarity",
        **_SIMILARITY,
    ),
    Metric(
        name="duration_ratio",
        numerator="seconds",
        denominator="golden_seconds",
        title="Duration ratio",
        short="Duration",
        digits=3,
        better=0,
    ),
    Metric(
        name="held_out_wer",
        numerator="held_out_word_errors",
        denominator="words",
        title="Word error rate, held-out recognizer",
        short="WER, held out",
        held_out=True,
        **RATE,
    ),
    Metric(
        name="held_out_similarity",
        numerator="held_out_similarity",
        title="Speaker similarity, held-out measure",
        short="SIM, held out",
        held_out=True,
        summary=False,
        **_SIMILARITY,
    ),
    Metric(
        name="f0_spread",
        numerator="f0_spread",
        title="F0 spread, from the 10th to the 90th percentile",
        short="F0 spread",
        unit="st",
        difference_unit="st",
        digits=2,
        better=0,
        held_out=True,
        may_lack=True,  # too little may be voiced
        summary=False,
    ),
    Metric(
        name="words_per_second",
        numerator="spoken_words",
        denominator="speech_seconds",
        title="Words spoken per second",
        short="Speed",
        unit="words/s",
        difference_unit="words/s",
        digits=2,
        better=0,
        may_lack=True,  # there may be no sound
        summary=False,
        in_loop=False,
    ),
    Metric(
        name="mos",
        numerator="mos",
        title="Predicted mean opinion score",
        short="Predicted MOS",
        digits=2,
        better=+1,
        held_out=True,
        summary=False,
        in_loop=False,
    ),
    Metric(
        name="silence",
        numerator="silence",
        title="Silence, share of the time",
        short="Silence",
        unit="%",
        difference_unit="points",
        digits=1,
        scale=100.0,
        better=0,
        held_out=True,
        may_lack=True,  # nothing may sound
        summary=False,
        in_loop=False,
    ),
)
METRICS = {metric.name: metric for metric in _TABLE}


def by_judge(*, held_out: bool) -> list[Metric]:
    """Metrics of the loop's judges that chose the pairs, or of its held-out ones."""
    return [metric for metric in METRICS.values() if metric.in_loop and metric.held_out == held_out]


def confirmable() -> list[tuple[Metric, Metric]]:
    """Each metric that a held-out judge measures too, with that judge's metric."""
    return [(metric, METRICS[metric.confirmed_by]) for metric in METRICS.values() if metric.confirmed_by]
