"""Every shipped layout against a tokenizer with its family's token names: exact round trips, and the family's ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend

from model.errors import InputError
from model.layouts.files import shipped
from model.layouts.layout import Layout
from model.layouts.spec import LayoutError
from model.layouts.speech import Read, Speech, VoicePrompt, Word
from tests.model.layouts.families import FAMILIES, SIZES, make_tokenizer, small_layout

GLOBALS = tuple(range(100, 132))


SIZES = SIZES | {"llasa": 1024, "neutts": 1024}  # 65,536 tokens take seconds to make, and show nothing else


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {family: make_tokenizer(family, tmp_path_factory.mktemp(family), SIZES[family]) for family in FAMILIES}


@pytest.fixture(scope="module")
def layouts(folders, tmp_path_factory) -> dict[str, Layout]:
    folder = tmp_path_factory.mktemp("layouts")
    files = {family: small_layout(family, folder / f"{family}.yaml", SIZES[family]) for family in FAMILIES}
    return {family: Layout.load(files[family], folders[family]) for family in FAMILIES}


@pytest.mark.parametrize(
    ("family", "size"), [("orpheus", 4096), ("spark", 8192), ("cosyvoice2", 6561), ("outetts", 1024)]
)
def test_shipped_files_as_they_are_fit_the_whole_codebook(folders, family, size):
    assert Layout.load(family, folders[family]).code_tokens.size == size


def speech_for(layout: Layout, frames: int, seed: int = 0) -> Speech:
    """Random codes of whole frames, both ends of the range among them; words where the layout has words."""
    rng = np.random.default_rng(seed)
    size = layout.code_tokens.size

    def levels(n: int) -> tuple[np.ndarray, ...]:
        drawn = [rng.integers(0, size, n * per_frame) for per_frame in layout.code_tokens.per_frame]
        for level in drawn:
            level[: n and 1], level[n and -1 :] = 0, size - 1
        return tuple(drawn)

    if layout.spec.word is None:
        return Speech(levels(frames))
    texts = ("One,", "the", "Über 25.")[: frames and 3]
    return Speech((), tuple(Word(text, levels(frames), ("0.25", "3", "100", "0")) for text in texts), ("7", "8", "9"))


def test_every_shipped_layout_is_tested_here():
    frame_parallel = ["csm", "dia"]  # tested in tests/model/frames: their codes are no tokens of a tokenizer
    assert shipped() == sorted([*FAMILIES, *frame_parallel])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frames", [0, 1, 37])
@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("finished", [False, True])
def test_codes_come_back_exactly(layouts, family, frames, prompted, finished):
    layout = layouts[family]
    speech = speech_for(layout, frames)
    if prompted and layout.spec.prompted_completion != layout.spec.completion:
        speech = Speech(speech.levels, speech.words)  # a prompted completion has no features of the voice

    target = layout.target(speech, finished, prompted)

    assert layout.read(target, prompted) == Read(speech, finished)
    assert (target[-1:] == [layout.stops[0]]) == finished


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_what_the_tokenizer_makes_of_the_text(layouts, folders, family):
    """The whole sequence, as its family writes it into a string, encodes to the same ids."""
    layout = layouts[family]
    prompt = VoicePrompt("tara", "on the other", speech_for(layout, 5))
    prompt = VoicePrompt(prompt.speaker, prompt.text, Speech(prompt.speech.levels, prompt.speech.words, (), GLOBALS))
    for prompted in layout.contexts:
        voice = prompt if prompted else VoicePrompt("tara", speech=Speech(globals=GLOBALS))
        speech = speech_for(layout, 9)
        ids = layout.context("the other one", voice) + layout.target(speech, prompted=prompted)
        backend = Backend.from_file(str(folders[family] / "tokenizer.json"))
        text = backend.decode(ids, skip_special_tokens=False)
        assert backend.encode(text, add_special_tokens=False).ids == ids


def test_orpheus_has_the_published_ids(layouts):
    layout = layouts["orpheus"]
    slots = np.arange(7)[:, None]
    assert np.array_equal(layout.code_tokens.ids, 128266 + 4096 * slots + np.arange(4096)[None])
    assert layout.stops == (128258, 128262)
    text = layout.tokenizer.encode("tara: one")
    context = layout.context("one", VoicePrompt("tara"))
    assert context == [128259, 128000, *text, 128009, 128260, 128261, 128257]


def test_seven_tokens_hold_one_two_and_four_codes_of_three_levels(layouts):
    layout = layouts["orpheus"]
    c0, c1, c2 = [1, 8], [2, 5, 9, 12], [3, 4, 6, 7, 10, 11, 13, 14]
    frames = np.asarray(layout.target(Speech.of(c0, c1, c2), finished=False)).reshape(2, 7)
    codes = frames - 128266 - 4096 * np.arange(7)
    expected = [[c0[i], c1[2 * i], *c2[4 * i : 4 * i + 2], c1[2 * i + 1], *c2[4 * i + 2 : 4 * i + 4]] for i in (0, 1)]
    assert codes.tolist() == expected


def test_the_voice_of_spark_is_given_and_never_written(layouts):
    layout = layouts["spark"]
    voice = VoicePrompt(text="on", speech=Speech.of([1, 2], globals=GLOBALS))
    context = layout.context("one", voice)
    written = set(layout.global_tokens[list(GLOBALS)].tolist())
    assert written <= set(context)
    assert not written & set(layout.target(Speech.of([3], globals=GLOBALS), prompted=True))
    with pytest.raises(InputError, match="needs 32 global codes of the voice from 0 to 4095, found 31"):
        layout.context("one", VoicePrompt(speech=Speech(globals=GLOBALS[:-1])))
    with pytest.raises(InputError, match="found 32 from 100 to 4096"):
        layout.context("one", VoicePrompt(speech=Speech(globals=(*GLOBALS[:-1], 4096))))


def test_a_chat_template_is_rendered_with_a_fixed_date_and_continued(layouts):
    layout = layouts["llasa"]
    text = layout.tokenizer.decode(layout.context("one", VoicePrompt()))
    assert text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nConvert the text to speech:<|TEXT_UNDERSTANDING_START|>one"
        "<|TEXT_UNDERSTANDING_END|><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        "<|SPEECH_GENERATION_START|>"
    )


def test_neutts_reads_phonemes(layouts):
    layout = layouts["neutts"]
    text = layout.tokenizer.decode(layout.context("two", VoicePrompt(text="Hello, the", speech=Speech.of([5]))))
    assert "<|TEXT_PROMPT_START|>həlˈoʊ, ðə tˈuː<|TEXT_PROMPT_END|>\nassistant:" in text


def test_a_voice_prompt_that_a_layout_cannot_take_is_refused(layouts):
    with pytest.raises(InputError, match="takes no recording as voice prompt, found one"):
        layouts["orpheus"].context("one", VoicePrompt("tara", "on", Speech.of([0], [0, 0], [0] * 4)))


def test_a_voice_prompt_that_a_layout_needs_is_asked_for(tmp_path):
    file = small_layout("cosyvoice2", tmp_path / "l.yaml", 16, lambda content: content.pop("context"))
    layout = Layout.load(file, make_tokenizer("cosyvoice2", tmp_path, 16))
    with pytest.raises(InputError, match="layout l takes a recording of the voice as voice prompt, found none"):
        layout.context("one")


def test_a_speakers_name_is_needed_where_the_layout_has_one(layouts):
    with pytest.raises(InputError, match="needs the name of a speaker"):
        layouts["orpheus"].context("one", VoicePrompt())


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_out_of_range_are_refused(layouts, family):
    layout = layouts[family]
    levels = [np.zeros(n, dtype=int) for n in layout.code_tokens.per_frame]
    levels[-1][-1] = SIZES[family]
    with pytest.raises(InputError, match=f"expected 0 to {SIZES[family] - 1}"):
        layout.code_tokens.write(levels)


@pytest.mark.parametrize("levels", [([0], [0, 0]), ([0], [0], [0] * 4), ([0, 0], [0, 0], [0] * 4)])
def test_levels_that_are_no_whole_frames_are_refused(layouts, levels):
    with pytest.raises(InputError, match=r"expected 3 levels|expected multiples of"):
        layouts["orpheus"].target(Speech.of(*levels))


def test_a_frame_that_is_cut_off_is_left_out_of_an_unfinished_sample_only(layouts):
    layout = layouts["orpheus"]
    target = layout.target(Speech.of([5, 6], [1] * 4, [2] * 8), finished=False)
    assert layout.read(target[:-3]).speech == Speech.of([5], [1] * 2, [2] * 4)
    with pytest.raises(InputError, match="11 code tokens are no whole frames of 7"):
        layout.read([*target[:-3], layout.stops[0]])


def test_a_code_of_another_slot_is_refused(layouts):
    layout = layouts["orpheus"]
    target = layout.target(Speech.of([5], [1] * 2, [2] * 4))
    target[0], target[1] = target[1], target[0]
    with pytest.raises(InputError, match=r"<custom_token_4107> of frame 0 does not belong to slot 0 \(level 0\)"):
        layout.read(target)


def test_text_between_codes_is_refused_where_the_layout_has_none(layouts):
    layout = layouts["llasa"]
    target = layout.target(Speech.of([5, 6]))
    with pytest.raises(InputError, match=r"token 1: expected a code or <\|SPEECH_GENERATION_END\|>, found on"):
        layout.read([target[0], *layout.tokenizer.encode("on"), *target[1:]])


def test_a_misplaced_token_between_words_is_named(layouts):
    layout = layouts["outetts"]
    target = layout.target(speech_for(layout, 3))
    place = target.index(layout.tokenizer.find("<|code|>"))
    with pytest.raises(InputError, match=rf"token {place}: expected <\|code\|>, found <\|word_end\|>"):
        layout.read([*target[:place], layout.tokenizer.find("<|word_end|>"), *target[place + 1 :]])


@pytest.mark.parametrize("family", ["llasa", "orpheus", "outetts", "own"])
def test_a_text_that_names_a_token_is_refused(layouts, family):
    layout = layouts[family]
    with pytest.raises(InputError, match=f"holds the token {layout.spec.stop[0]}|cannot read"):
        layout.context(f"one {layout.spec.stop[0]} two", VoicePrompt("tara"))


# --- a tokenizer that does not fit --------------------------------------------------------------------------------


def small(family: str, tmp_path: Path, size: int = 16, tokens: int | None = None, **changes) -> Layout:
    """A small layout of a family, with ``changes`` of its codes, on a tokenizer of ``tokens`` codes."""
    file = small_layout(family, tmp_path / "small.yaml", size, lambda content: content["codes"].update(changes))
    return Layout.load(file, make_tokenizer(family, tmp_path / "model", tokens or size, compact=True))


def test_missing_code_tokens_are_counted(tmp_path):
    with pytest.raises(
        LayoutError, match=r"layout small: 4 of 16 code tokens are missing from .*, the first is <\|s_12"
    ):
        small("cosyvoice2", tmp_path, tokens=12)


def test_more_code_tokens_than_the_codec_has_codes_are_refused(tmp_path):
    with pytest.raises(LayoutError, match=r"has the code token <\|s_16\|>, but the layout says size 16"):
        small("cosyvoice2", tmp_path, tokens=17)


def test_spare_code_tokens_are_declared(tmp_path):
    assert small("outetts", tmp_path).code_tokens.size == 16  # its tokenizer has one more per level
    with pytest.raises(LayoutError, match=r"has the code token <\|c._16\|>, but the layout says size 16"):
        small("outetts", tmp_path, spare=0)


@pytest.mark.parametrize("per_slot", [0, 15])
def test_slots_that_share_tokens_are_refused(tmp_path, per_slot):
    with pytest.raises(LayoutError, match="code tokens of different slots overlap"):
        small("orpheus", tmp_path, per_slot=per_slot)


def test_a_stop_token_that_is_text_is_refused(tmp_path):
    file = small_layout("cosyvoice2", tmp_path / "l.yaml", 16, lambda content: content.update(stop=["<|end|>"]))
    with pytest.raises(
        LayoutError, match=r"the stop token <\|end\|> is not one token of .* \(it would be the 7 tokens"
    ):
        Layout.load(file, make_tokenizer("cosyvoice2", tmp_path, 16))


def test_a_name_in_angle_brackets_that_is_text_is_refused(tmp_path):
    file = small_layout("cosyvoice2", tmp_path / "l.yaml", 16, lambda c: c.update(context="<|start|>{text}<|task_id|>"))
    with pytest.raises(LayoutError, match=r"the template's <\|start\|> is not one token"):
        Layout.load(file, make_tokenizer("cosyvoice2", tmp_path, 16))


def test_a_code_token_that_also_ends_the_speech_is_refused(tmp_path):
    file = small_layout("cosyvoice2", tmp_path / "l.yaml", 16, lambda content: content.update(stop=["<|s_3|>"]))
    with pytest.raises(LayoutError, match=r"the code token <\|s_3\|> has another purpose too"):
        Layout.load(file, make_tokenizer("cosyvoice2", tmp_path, 16))


def test_another_familys_layout_is_refused(tmp_path):
    files = {family: small_layout(family, tmp_path / f"{family}.yaml", 16) for family in FAMILIES}
    for family in FAMILIES:
        folder = make_tokenizer(family, tmp_path / family, 16, compact=True)
        assert Layout.load(files[family], folder)
        for other in set(FAMILIES) - {family}:
            if family.startswith("own") and other.startswith("own"):
                continue  # two layouts of one tokenizer
            with pytest.raises(LayoutError, match=f"layout {other}: "):
                Layout.load(files[other], folder)


def test_a_missing_chat_template_is_named(tmp_path):
    folder = make_tokenizer("llasa", tmp_path, 16, compact=True)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(LayoutError, match="needs a chat template, but there is neither"):
        Layout.load(small_layout("llasa", tmp_path / "l.yaml", 16), folder)
