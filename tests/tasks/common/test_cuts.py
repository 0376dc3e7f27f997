"""Recordings of a split by id, in any order and in the file's."""

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, Recording

from tasks.common import cuts, paths
from tasks.common.files import DataError

IDS = ["b", "a", "c"]


@pytest.fixture(autouse=True)
def _split(tmp_path, monkeypatch):
    """A train split of one constant recording per id, the louder the later in the alphabet."""
    monkeypatch.chdir(tmp_path)
    made = []
    for id_ in IDS:
        soundfile.write(f"{id_}.wav", np.full(400, level(id_)), 4000, subtype="FLOAT")
        cut = Recording.from_file(f"{id_}.wav").to_cut()
        cut.id = id_
        made.append(cut)
    paths.CUTS.mkdir(parents=True)
    CutSet.from_items(made).to_file(paths.cuts("train"))


def level(id_: str) -> float:
    return (ord(id_) - ord("a") + 1) / 8


@pytest.mark.parametrize("ids", [["a", "b", "c"], ["c"], ["b", "b", "a"], []])
def test_recordings_come_in_the_order_asked_for(ids):
    assert [wave.max() for wave in cuts.waves("train", ids)] == [level(id_) for id_ in ids]


@pytest.mark.parametrize("ids", [IDS, ["b", "c"], []])
def test_those_in_the_files_order_are_read_in_one_pass(ids):
    assert [wave.max() for wave in cuts.waves_in_order("train", iter(ids))] == [level(id_) for id_ in ids]


def test_a_missing_recording_is_named():
    with pytest.raises(DataError, match=r"train.* lacks \['x', 'y'\]; run `prepare`"):
        cuts.waves("train", ["a", "y", "x"])
    for ids, missing in ((["b", "x"], "x"), (["a", "b"], "b")):  # b stands before a
        with pytest.raises(DataError, match=f"lacks {missing}, or has it elsewhere; run `prepare`"):
            list(cuts.waves_in_order("train", ids))
