"""This project's own AR as one more layout: the ids are those of model.tokens, and transformers reads the folder."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from model import policy
from model.errors import InputError
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.own import write_tokenizer
from model.layouts.speech import Speech, VoicePrompt
from model.policy import ArShape
from model.tokens import CHARACTERS, Vocabulary


@pytest.mark.parametrize("text", ["seven two nine", "don't"])
@pytest.mark.parametrize("prompt", [[], [0, 7, 15]])
def test_context_and_target_have_the_ids_of_the_vocabulary(tmp_path, text, prompt):
    write_tokenizer(tmp_path, 16)
    layout, vocabulary = Layout.load("own", tmp_path), Vocabulary(16)
    voice = VoicePrompt(speech=Speech.of(prompt) if prompt else Speech())
    assert layout.context(text, voice) == vocabulary.context(text, prompt)
    assert layout.target(Speech.of([3, 0, 15])) == vocabulary.target([3, 0, 15])
    assert layout.tokenizer.size == vocabulary.size


def test_the_folder_is_an_ordinary_hugging_face_checkpoint(tmp_path):
    torch.manual_seed(0)
    ar = policy.build(ArShape(layers=1, width=16, heads=2), Vocabulary(16)).eval()
    policy.save(ar, tmp_path)
    write_tokenizer(tmp_path, 16)
    layout = Layout.load("own", tmp_path)
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
    with pytest.raises(InputError, match=r"once and in lower case, found '[aC]'"):
        write_tokenizer(tmp_path, 16, characters)
