"""Both sides of the memory benchmark train the same, on a small model."""

from dataclasses import replace

import pytest

from benchmarks.dpo_memory import Size, measure
from model.fast import chunked


@pytest.mark.slow
def test_both_sides_have_the_same_losses(monkeypatch):
    monkeypatch.setattr(chunked, "LARGE", 1024)
    size = replace(Size(train="all").smaller(), vocabulary=1024, tokens=12)
    found = {side: measure(side, size) for side in ("speechalign", "trl-cached")}
    assert found["speechalign"]["losses"] == pytest.approx(found["trl-cached"]["losses"], abs=1e-5)
    assert found["speechalign"]["losses"][1] < found["speechalign"]["losses"][0] - 0.01
    assert all(side["peak"] > 1e8 for side in found.values())
