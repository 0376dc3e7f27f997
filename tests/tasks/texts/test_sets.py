"""Which texts there are, and whose voice reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tasks.common.digits import split_of
from tasks.common.files import DataError
from tasks.texts import sets
from tests.tasks.texts.made import TEXTS, corpus, params


def make_sets(*of):
    return {split: list(rows) for split, rows in sets.make_sets(*of).items()}


def texts(rows):
    return [row["text"] for row in rows]


def test_every_text_is_prompted_by_its_speaker_in_its_own_split():
    made, speech = make_sets(params(), corpus()), corpus()

    assert {split: len(rows) for split, rows in made.items()} == {"train": 50, "dev": 12, "test": 12}
    for split, rows in made.items():
        assert len({row["id"] for row in rows}) == len(rows)
        for row in rows:
            assert speech[split].speakers[speech[split].ids.index(row["prompt_id"])] == row["speaker"]
            assert row["seen"] == (row["speaker"] not in "xyz")


def test_half_of_tests_long_texts_are_read_by_unseen_speakers_and_all_speakers_read_alike_often():
    made = make_sets(params(), corpus())

    assert Counter(row["speaker"] for row in made["test"]) == {"a": 3, "c": 3, "x": 2, "y": 2, "z": 2}
    assert Counter(row["speaker"] for row in made["dev"]) == {"a": 6, "b": 6}


def test_digits_have_the_words_asked_for_and_belong_to_one_split():
    made = make_sets(params(sample_words=[3, 3], long_words=[6, 7]), corpus())

    assert {len(text.split()) for text in texts(made["train"])} == {3}
    assert {len(text.split()) for text in texts(made["dev"]) + texts(made["test"])} == {6, 7}
    for split, rows in made.items():
        assert {split_of(text) for text in texts(rows)} == {split}


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    assert make_sets(params(), corpus()) == make_sets(params(), corpus())
    assert texts(make_sets(params(), corpus())["dev"]) != texts(make_sets(params(seed=18), corpus())["dev"])


def test_the_long_sets_stay_the_same_when_another_pool_is_sampled():
    one, other = make_sets(params(), corpus()), make_sets(params(sample="corpus"), corpus())
    assert one["train"] != other["train"]
    assert (one["dev"], one["test"]) == (other["dev"], other["test"])


def test_the_corpus_as_pool_keeps_the_ids_and_prompts_with_another_utterance():
    speech = corpus()
    pool = make_sets(params(sample="corpus"), speech)["train"]

    assert [(row["id"], row["text"]) for row in pool] == list(
        zip(speech["train"].ids, speech["train"].texts, strict=True)
    )
    assert all(row["prompt_id"] != row["id"] for row in pool)
    assert len({row["prompt_id"] for row in pool}) > 3


def test_no_text_of_dev_or_test_is_in_the_pool(tmp_path):
    lines = [f"text {a} {b}" for a in "abcdef" for b in "uvw"]
    (tmp_path / "long.txt").write_text("\n".join([*lines, *TEXTS["train"]]))
    (tmp_path / "pool.txt").write_text("\n".join([*lines, "one one", "two two", "only here", "Only here!"]))
    files = {"sample_file": str(tmp_path / "pool.txt"), "long_file": str(tmp_path / "long.txt")}

    made = make_sets(params(sample="file", long="file", long_utterances=9, **files), corpus())

    assert texts(made["train"]) == ["only here"]
    assert sorted(texts(made["dev"]) + texts(made["test"])) == sorted(lines)


def test_a_pool_of_which_dev_and_test_have_every_text_is_refused(tmp_path):
    (tmp_path / "pool.txt").write_text("one one\ntwo two\n")
    with pytest.raises(DataError, match=r"every text of .*pool\.txt is in dev or test"):
        make_sets(params(sample="file", sample_file=str(tmp_path / "pool.txt")), corpus())


def test_too_few_long_texts_are_refused_with_a_number_that_works(tmp_path):
    (tmp_path / "long.txt").write_text("a\nb\nc\nd\ne\nsix one\n")
    with pytest.raises(DataError, match=r"holds 5 texts that the corpus doesn't have.*long_utterances to at most 2"):
        make_sets(params(long="file", long_file=str(tmp_path / "long.txt")), corpus())


def test_without_a_long_set_dev_and_test_have_none():
    made = make_sets(params(long="none"), corpus())
    assert (made["dev"], made["test"]) == ([], [])
    assert len(made["train"]) == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"long": "none"}, "texts.sample is digits.*set it to corpus or file"),
        ({}, "texts.long is digits.*file or none"),
    ],
)
def test_digits_are_refused_where_the_corpus_does_not_have_the_words(changes, message):
    speech = corpus()
    speech["train"] = replace(speech["train"], texts=["one two three four five six seven eight"] * 9)
    with pytest.raises(DataError, match=f"{message}") as error:
        make_sets(params(**changes), speech)
    assert "no recording of nine, zero;" in str(error.value)
