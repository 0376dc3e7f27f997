import pytest

from model.pairs.segment import first_frames, right_words
from model.pairs.sequences import sequences_of
from tests.sequences import Own

ASKED = "1 2 3 4".split()


@pytest.mark.parametrize(
    ("said", "right"), [("1 2 3 4", 4), ("1 2 9 4", 2), ("1 3 4", 1), ("1 2", 2), ("", 0), ("1 2 3 4 4", 4), ("2 1", 0)]
)
def test_words_are_right_up_to_the_first_wrong_missing_or_added_one(said, right):
    assert right_words(ASKED, said.split()) == right


@pytest.mark.parametrize(
    ("rejected", "frames", "first"),
    [
        ("1 2 9 4", 80, (30, 30)),  # the third word: half a word before it, on both sides
        ("1 2", 40, (30, 30)),  # stops after two words: its last half word and the end mark
        ("9 2 3 4", 80, (0, 0)),  # wrong from the start: the whole utterance
        ("", 5, (0, 0)),
        ("1 2 2 3 4", 100, (30, 30)),  # one word too many
    ],
)
def test_a_segment_starts_half_a_word_before_the_first_word_that_a_side_has_wrong(rejected, frames, first):
    assert first_frames(ASKED, (ASKED, rejected.split()), (80, frames)) == first


def test_if_the_chosen_side_errs_first_the_segment_starts_there():
    assert first_frames(ASKED, ("1 9 3 4".split(), "1 2 3".split()), (80, 60)) == (10, 10)


def test_frames_before_a_segment_are_context():
    own = Own(16)
    context = own.context("a", [1, 2])
    pair = {"context": context, "chosen": own.target([3, 4, 5]), "rejected": own.codes([6, 7])}
    contexts, targets = sequences_of([{**pair, "chosen_from": 2, "rejected_from": 0}])
    assert targets == [own.target([5]), own.target([6, 7], False)]
    assert contexts == [context + own.target([3, 4], False), context]
