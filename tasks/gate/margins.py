"""What counts as "not worse": how much of each measure may be lost, relative to the system before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from model.errors import InputError
from model.metrics import HIGHEST_MOS

if TYPE_CHECKING:
    from tasks.common.changes import Change


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Allowed losses. Of error rates, speed and pitch: shares of the value before. Of similarity and MOS: shares of the
    distance to the best there is. Of failed and unjudged recordings: shares of all recordings.
    """

    wer: float = 0.2
    similarity: float = 0.1
    mos: float = 0.1
    f0_spread: float = 0.15
    words_per_second: float = 0.15
    failed: float = 0.01
    unjudged: float = 0.02

    def of(self, change: Change) -> float:
        """The allowed loss in the metric's own unit."""
        name = change.metric.name.removeprefix("held_out_")
        share = float(getattr(self, name))
        if name in ("failed", "unjudged"):
            return share
        if name in ("similarity", "mos"):
            return share * ((HIGHEST_MOS if name == "mos" else 1.0) - change.before)
        return share * change.before


def parse(given: Sequence[str]) -> Margins:
    """Return the default margins with some replaced: ``["mos=0.05"]``.

    Raises:
        InputError: an unknown name, one that is there twice, or a value that is no share.
    """
    names = [field.name for field in fields(Margins)]
    found: dict[str, float] = {}
    for one in given:
        name, _, value = one.partition("=")
        if name not in names:
            raise InputError(f"--margin {one}: expected one of {', '.join(names)}, such as mos=0.05")
        if name in found:
            raise InputError(f"--margin {name} is given twice; keep one of them")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise InputError(f"--margin {name}={value}: expected a number, such as {name}=0.1") from error
        if not 0 <= found[name] <= 1:
            raise InputError(f"--margin {name}={value}: expected a share from 0 to 1, such as {name}=0.1")
    return replace(Margins(), **found)
