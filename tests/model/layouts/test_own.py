"""This project's own AR as one more layout: marks, characters, codes; and transformers reads the folder."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from model import policy
from model.alphabet import CHARACTERS
from model.errors import InputError
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.own import BOS, EOS, PROMPT, SPEECH, build_layout, write_tokenizer
from model.layouts.speech import Speech, VoicePrompt
from model.policy import ArShape
from tests.sequences import FIRST_CODE, voice_of


def ids_of(text):
    return [SPEECH + 1 + CHARACTERS.index(character) for character in text]


@pytest.mark.parametrize("text", ["seven two nine", "don't"])
@pytest.mark.parametrize("prompt", [[], [0, 7, 15]])
def test_ids_are_marks_characters_and_codes(tmp_path, text, prompt):
    write_tokenizer(str(tmp_path), 16)
    layout = Layout.load("own", tmp_path)
    voice = VoicePrompt(speech=Speech.of(prompt) if prompt else Speech())
    codes = [FIRST_CODE + code for code in prompt]
    assert layout.context(text, voice) == [BOS, *ids_of(text), PROMPT, *codes, SPEECH]
    assert layout.target(Speech.of([3, 0, 15])) == [FIRST_CODE + 3, FIRST_CODE, FIRST_CODE + 15, EOS]
    assert layout.tokenizer.size == FIRST_CODE + 16


def test_of_a_voice_with_all_levels_the_first_is_written(tmp_path):
    layout = build_layout(16)
    assert layout.context("a", voice_of([1, 2], [3, 4])) == layout.context("a", voice_of([1, 2]))
    assert layout.target(Speech.of([5], [6])) == layout.target(Speech.of([5]))


def test_words_before_a_text_are_part_of_the_layout_and_are_not_changed():
    layout = build_layout(16).with_prefix("'' ")
    assert layout.context("One") == [BOS, *ids_of("'' one"), PROMPT, SPEECH]
    assert layout.target(Speech.of([5])) == build_layout(16).target(Speech.of([5]))


def test_the_folder_is_an_ordinary_hugging_face_checkpoint(tmp_path):
    torch.manual_seed(0)
    made = policy.build(ArShape(layers=1, width=16, heads=2), 16)
    policy.save(made, tmp_path)
    ar = made.model.eval()
    layout = Layout.of_policy(tmp_path)
    ids = [*layout.context("one two"), *layout.target(Speech.of([3, 0, 15]))]

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "<s>one two<prompt><speech><c_3><c_0><c_15></s>"
    assert tokenizer(text, add_special_tokens=False).input_ids == ids
    assert tokenizer.decode(ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 0)

    with torch.inference_mode():
        expected = ar(torch.tensor([ids])).logits
        for loaded in (AutoModelForCausalLM.from_pretrained(tmp_path), load_causal_lm(tmp_path, layout.tokenizer)):
            torch.testing.assert_close(loaded(torch.tensor([ids])).logits, expected)


def test_another_character_set_is_another_languages_tokenizer(tmp_path):
    write_tokenizer(tmp_path, 16, " абвгдеж")
    layout = Layout.load("own", tmp_path)
    assert layout.tokenizer.decode(layout.context("ГДЕ  ЖАБА")) == "<s>где жаба<prompt><speech>"
    with pytest.raises(InputError, match="cannot read 'й' in the text"):
        layout.context("гдей")


def test_characters_outside_the_set_are_named(tmp_path):
    write_tokenizer(tmp_path, 16)
    with pytest.raises(InputError, match=r"cannot read '!\?5' in the text '<s>why5\?! yes<prompt><speech>'|'!5\?'"):
        Layout.load("own", tmp_path).context("Why5?! Yes")


@pytest.mark.parametrize("characters", [CHARACTERS + "a", "abC"])
def test_an_impossible_character_set_is_refused(tmp_path, characters):
    with pytest.raises(InputError, match=r"each character once, in lower case .*; found '[aC]'"):
        write_tokenizer(tmp_path, 16, characters)


def test_with_the_prompts_transcript_its_codes_end_what_is_given():
    layout = build_layout(16, layout="own_transcript")
    voice = VoicePrompt(text="One two", speech=Speech.of([7, 3], [0, 0]))
    assert layout.context("six", voice) == [BOS, *ids_of("one two six"), SPEECH, FIRST_CODE + 7, FIRST_CODE + 3]
    assert layout.context("six") == [BOS, *ids_of("six"), SPEECH]
