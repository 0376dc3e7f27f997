"""Which near misses are tried on which recordings, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss, NotTried, Recording
from model.layouts.near_misses import near_misses
from model.layouts.speech import Speech
from tests.model.layouts.families import make_tokenizer, small_layout

SIZE = 4


def layout_of(family: str, folder: Path) -> Layout:
    make_tokenizer(family, folder, SIZE, compact=True)
    return Layout.load(small_layout(family, folder / "layout.yaml", SIZE), folder)


def recording(layout: Layout, text: str, speaker: str, code: int = 0) -> Recording:
    levels = [[code] * k for k in layout.code_tokens.per_frame]
    return Recording(text, speaker, {1.0: Speech.of(*levels), 2.0: Speech.of(*levels)})


def reasons(layout: Layout, recordings: list[Recording]) -> dict[str, str]:
    return {miss.name: miss.reason for miss in near_misses(layout, recordings) if isinstance(miss, NotTried)}


def tried(layout: Layout, recordings: list[Recording]) -> dict[str, NearMiss]:
    return {miss.name: miss for miss in near_misses(layout, recordings) if isinstance(miss, NearMiss)}


@pytest.mark.parametrize(
    ("family", "speakers", "name", "reason"),
    [
        ("orpheus", ["tara", "tara"], "another speaker", "all recordings are by one speaker"),
        ("cosyvoice2", ["a", "b"], "another speaker", "no speaker has two recordings"),
        ("cosyvoice2", ["a", "b"], "slots swapped", "all tokens are of one level"),
        ("orpheus", ["tara", "leo"], "text spell_numbers", "these texts are the same in it"),
        ("own", ["a", "b"], "without the token that begins the speech", ""),
    ],
)
def test_what_is_not_tried_has_its_reason(
    family: str, speakers: list[str], name: str, reason: str, tmp_path: Path
) -> None:
    layout = layout_of(family, tmp_path)
    found = reasons(layout, [recording(layout, text, of) for text, of in zip(("one", "two"), speakers, strict=True)])
    assert found.get(name, "") == reason


def test_other_families_layouts_are_named_with_why_they_are_not_tried(tmp_path: Path) -> None:
    layout = layout_of("orpheus", tmp_path)
    found = reasons(layout, [recording(layout, "one", "tara"), recording(layout, "one", "leo")])
    assert found["another recording's text"] == "all recordings have the same text"
    [foreign] = [name for name, reason in found.items() if reason == "the tokenizer lacks their tokens"]
    assert {"llasa", "neutts"} <= set(foreign.removeprefix("layout ").split(", "))
    [voiced] = [name for name, reason in found.items() if "alignment of words" in reason]
    assert {"spark", "outetts"} <= set(voiced.removeprefix("layout ").split(", "))


def test_another_speaker_is_another_name(tmp_path: Path) -> None:
    layout = layout_of("orpheus", tmp_path)
    recordings = [recording(layout, "one", name) for name in ("tara", "tara", "leo")]
    miss = tried(layout, recordings)["another speaker"]
    contexts = [layout.tokenizer.decode(sequence.context) for sequence in miss.sequences(recordings)]
    assert [next(name for name in ("tara", "leo") if name in context) for context in contexts] == ["leo", "leo", "tara"]
    assert not (miss.essential or miss.decides)


def test_another_speaker_is_another_voice_prompt_too(tmp_path: Path) -> None:
    layout = layout_of("neutts", tmp_path)
    first, second = (
        replace(recording(layout, "one", name), prompt=recording(layout, "two", name, code))
        for name, code in (("a", 1), ("b", 2))
    )
    miss = replace(NearMiss("declared", "", layout), other_speaker=True)
    contexts = [layout.tokenizer.decode(sequence.context) for sequence in miss.sequences([first, second])]
    assert "<|speech_2|>" in contexts[0] and "<|speech_1|>" in contexts[1]
    without = recording(layout, "one", "c")
    [own, _, _] = miss.sequences([without, first, second])
    assert "<|speech_1|>" not in layout.tokenizer.decode(own.context)  # nobody else is without a voice prompt


def test_a_tokenizer_with_no_other_start_says_so(tmp_path: Path) -> None:
    layout = layout_of("own", tmp_path)
    recordings = [recording(layout, text, "a") for text in ("one", "two")]
    names = [*tried(layout, recordings), *reasons(layout, recordings)]
    assert any(name.startswith("without <") for name in names)
    assert any(name.startswith("with <") or name == "another token before the codes" for name in names)
