"""Golden waveforms of utterances, read through their cuts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from lhotse import CutSet

from tasks.common import paths
from tasks.common.files import DataError


def load_waves(split: str, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Mono float32 waveforms ``(samples,)`` of these utterances.

    Raises:
        DataError: an id that the split does not have.
    """
    wanted = set(ids)
    waves = {cut.id: cut.load_audio()[0] for cut in CutSet.from_file(paths.cuts(split)) if cut.id in wanted}
    if missing := wanted - waves.keys():
        raise DataError(f"{paths.cuts(split)} lacks {sorted(missing)[:5]}; run `prepare` and `extract` again")
    return waves
