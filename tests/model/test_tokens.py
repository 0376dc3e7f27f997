import pytest

from model.tokens import BOS, EOS, FIRST_CODE, PROMPT, SPEECH, Vocabulary


def test_context_holds_text_then_prompt_between_marks():
    context = Vocabulary(16).context("ab", [3, 15])
    assert context[0] == BOS and context[-1] == SPEECH
    assert context[3] == PROMPT
    assert context[4:6] == [FIRST_CODE + 3, FIRST_CODE + 15]


def test_every_id_is_below_the_vocabulary_size():
    vocabulary = Vocabulary(16)
    assert max(vocabulary.context(" 'az", list(range(16)))) < vocabulary.size


def test_a_cut_off_target_has_no_end_mark():
    vocabulary = Vocabulary(16)
    assert vocabulary.target([1, 2]) == [*vocabulary.codes([1, 2]), EOS]
    assert vocabulary.target([1, 2], finished=False) == vocabulary.codes([1, 2])


@pytest.mark.parametrize("text", ["A", "3", "é", "a\n"])
def test_characters_outside_the_vocabulary_are_named(text):
    with pytest.raises(ValueError, match="has the character"):
        Vocabulary(16).context(text, [])


def test_codes_outside_the_codebook_are_refused():
    with pytest.raises(ValueError, match="expected 0 to 15"):
        Vocabulary(16).codes([0, 16])
