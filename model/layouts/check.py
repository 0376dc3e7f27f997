"""Whether a checkpoint was trained with the declared layout: real speech must be likelier than in any near miss.

A layout that is wrong by one token or one code still gives a loss and still trains. What tells it from the right one is
the likelihood of recordings under the untouched checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from model.errors import InputError
from model.frames.books import NoPlaceError
from model.frames.tokenizer import FrameTokenizer
from model.layouts.layout import Layout
from model.layouts.likelihood import likelihood
from model.layouts.near_miss import NearMiss, NotTried, Recording
from model.layouts.near_misses import near_misses
from model.layouts.other_tokens import other_stops

FEWEST = 8  # recordings
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Row:
    """A near miss and how much worse it fits: the paired mean difference per recording, and its 95 % interval.

    Differences are in nats per token, declared minus near miss: above zero, the declared layout fits better.
    """

    name: str
    hint: str
    essential: bool
    decides: bool
    nats: float  # mean log-probability per token under the near miss
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``beaten``, ``fits better``, or ``no difference``."""
        if self.low > 0:
            return "beaten"
        return "fits better" if self.high < 0 else "no difference"


@dataclass(frozen=True)
class Report:
    """How a declared layout fits, and every near miss, the best fitting first."""

    layout: str
    recordings: int
    nats: float  # mean log-probability per token under the declared layout
    rows: tuple[Row, ...]
    not_tried: tuple[NotTried, ...]

    @property
    def better(self) -> list[Row]:
        """Near misses that fit significantly better, and show by that a fault of the layout."""
        return [row for row in self.rows if row.decides and row.verdict == "fits better"]

    @property
    def ties(self) -> list[Row]:
        """Near misses that must be beaten and are not."""
        return [row for row in self.rows if row.essential and row.verdict == "no difference"]

    @property
    def notes(self) -> list[Row]:
        """Near misses that say nothing about the layout, and are not beaten."""
        return [row for row in self.rows if not row.decides and row.verdict != "beaten"]


def check_layout(model: PreTrainedModel, declared: Layout, recordings: Sequence[Recording]) -> Report:
    """Compare a declared layout with its near misses.

    Raises:
        InputError: fewer than 8 recordings, or one that the layout cannot write.
    """
    if len(recordings) < FEWEST:
        raise InputError(f"a check needs {FEWEST} recordings or more, found {len(recordings)}")
    plain = NearMiss("declared", "", declared).sequences(recordings)
    stops = other_stops(declared, _configured_ends(model))
    own = likelihood(model, plain, stops)
    alone = own
    if False in declared.contexts and any(recording.prompt for recording in recordings):
        alone = likelihood(model, NearMiss("declared", "", declared, alone=True).sequences(recordings))
    rows, not_tried = [], []
    for miss in near_misses(declared, recordings):
        if isinstance(miss, NotTried):
            not_tried.append(miss)
            continue
        try:
            sequences = miss.sequences(recordings)
        except InputError as error:  # it cannot be written, so nobody can have trained with it
            not_tried.append(NotTried(miss.name, str(error)))
            continue
        try:
            found = likelihood(model, sequences)
        except NoPlaceError as error:  # nor can it be read
            not_tried.append(NotTried(miss.name, str(error)))
            continue
        baseline = (alone if miss.alone else own).per_token
        rows.append(_row(miss, baseline, found.per_token))
    if not stops:
        framed = isinstance(declared.tokenizer, FrameTokenizer)
        why = "a frame ends the speech" if framed else "neither tokenizer nor config.json has one that may end speech"
        not_tried.append(NotTried("another stop token", why))
    for column, stop in enumerate(stops):
        name = declared.tokenizer.name(stop)
        per_token = (own.totals - own.last + own.other_last[:, column]) / own.lengths
        rows.append(_row(NearMiss(f"ends with {name}", f'stop: ["{name}"]', declared), own.per_token, per_token))
    rows.sort(key=lambda row: row.difference)
    return Report(declared.name, len(recordings), float(own.per_token.mean()), tuple(rows), tuple(not_tried))


def _row(miss: NearMiss, own: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Row:
    difference = own - other
    mean = float(difference.mean())
    half = Z * float(difference.std(ddof=1)) / len(difference) ** 0.5
    fit = (float(other.mean()), mean, mean - half, mean + half)
    return Row(miss.name, miss.hint, miss.essential, miss.decides, *fit)


def _configured_ends(model: PreTrainedModel) -> list[int]:
    """Return the end tokens that the checkpoint's own configuration names."""
    found: list[int] = []
    for config in (model.config, getattr(model, "generation_config", None)):
        ends = getattr(config, "eos_token_id", None)
        found += [ends] if isinstance(ends, int) else list(ends or [])
    return found
