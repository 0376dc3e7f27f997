"""A control: pairs of another source with labels by chance, so that only the labels are missing."""

from __future__ import annotations

import numpy as np

from model.pairs.candidate import Preference


def relabel(preference: Preference | None, rng: np.random.Generator) -> Preference | None:
    """Return the preference, turned round in half of the cases; None if there is none."""
    if preference is None or rng.random() < 0.5:
        return preference
    return Preference(preference.rejected, preference.chosen, f"by chance; {preference.reason}")
