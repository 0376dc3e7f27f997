"""The benchmark for a GPU runs on a CPU, with a tiny policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu import hours_per_day, main


@pytest.mark.slow
def test_it_measures_everything_and_both_trainers_have_the_same_losses(tmp_path: Path) -> None:
    main(smoke=True, out=tmp_path)

    [file] = tmp_path.glob("*.json")
    found = json.loads(file.read_text())
    part = found["sizes"]["smoke"]
    assert part["training"]["largest_loss_difference"] < 1e-5
    assert part["training"]["ratio"] > 0 and 0 < part["training"]["speechalign_mfu"] < 1
    assert 0 < part["sampling"]["of_bound"] < 1
    assert min(found["audio"].values()) > 0 and part["hours_per_day"] > 0


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"error: the results cannot be kept in --out .*: Not a directory"):
        main(smoke=True, out=tmp_path / "file" / "results")


def test_a_loop_is_as_fast_as_its_parts_together() -> None:
    assert hours_per_day(1e9, 100.0, 1e9) == pytest.approx(48, rel=1e-3)  # twice real time
    assert hours_per_day(1e9, 1e9, 24.0) == pytest.approx(576, rel=1e-3)
