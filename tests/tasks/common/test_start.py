"""What the start policy's files tell before it is loaded."""

from __future__ import annotations

import pytest

from model.errors import InputError
from tasks.code.__main__ import check_start
from tasks.common.params import Params, load
from tasks.common.start import start_folder, writes_all_levels
from tests.conftest import REPOSITORY


def settings(codec: str, layout: str | None, start: str = "train") -> Params:
    loaded = load(REPOSITORY / "params.yaml")
    policy = loaded.policy.model_copy(update={"start": start, "layout": layout})
    return loaded.model_copy(update={"policy": policy, "models": loaded.models.model_copy(update={"codec": codec})})


@pytest.mark.parametrize(
    ("codec", "layout", "whole"),
    [
        ("hubertsiuzdak/snac_24khz", "orpheus", True),
        ("HKUSTAudio/xcodec2-hf", "llasa", True),
        ("facebook/encodec_24khz", None, False),
        ("HKUSTAudio/xcodec2-hf", None, True),  # the own AR's one level is all that there is
    ],
)
def test_there_is_a_nar_where_the_policy_writes_fewer_levels_than_the_codec_has(codec, layout, whole):
    check_start(settings(codec, layout))
    assert writes_all_levels(settings(codec, layout)) is whole


@pytest.mark.parametrize(
    ("layout", "advice"),
    [
        ("orpheus", "name a folder of snac, or hubertsiuzdak/snac_24khz"),
        ("cosyvoice2", "is in no package here; codec.kind of a layout may be dac, encodec, mimi"),
    ],
)
def test_another_codec_than_the_layouts_is_refused_by_the_first_stage(layout, advice):
    with pytest.raises(
        InputError, match=rf"layout {layout} is for the codec .*, but models\.codec is kyutai/mimi.*{advice}"
    ):
        check_start(settings("kyutai/mimi", layout))


def test_a_models_own_folder_is_the_ars_and_a_folder_of_parts_has_an_ar(tmp_path):
    for folder in (tmp_path / "whole", tmp_path / "parts/ar"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    for start, found in (("whole", "whole"), ("parts", "parts/ar")):
        assert start_folder(settings("kyutai/mimi", None, str(tmp_path / start)), "ar") == tmp_path / found
    assert start_folder(settings("kyutai/mimi", None), "ar") is None
