"""Drawing train, dev and test."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.common.files import DataError
from tasks.prepare import splits
from tasks.prepare.splits import Utterance


def corpus(speakers: int = 6, each: int = 30, hint: str | None = None, prefix: str = "s") -> list[Utterance]:
    return [
        Utterance(f"{prefix}{s}-{i:02d}", f"{prefix}{s}", f"text of {prefix} {s} {i}", hint)
        for s in range(speakers)
        for i in range(each)
    ]


def texts(utterances: list[Utterance], name: str) -> set[str]:
    return {u.text for u in utterances if u.split == name}


def speakers(utterances: list[Utterance], name: str) -> set[str]:
    return {u.speaker for u in utterances if u.split == name}


def check(given_: list[Utterance], chosen: list[Utterance], rejected: splits.Rejections) -> None:
    """What every split must hold."""
    assert sorted([u.id for u in chosen] + list(rejected)) == sorted(u.id for u in given_)
    assert not texts(chosen, "train") & (texts(chosen, "dev") | texts(chosen, "test"))
    assert speakers(chosen, "dev") <= speakers(chosen, "train")
    assert min(Counter((u.speaker, u.split) for u in chosen).values()) >= 2


def test_counts_are_met_and_half_of_test_is_by_unseen_speakers() -> None:
    chosen, rejected = splits.draw(corpus(), n_test=20, n_dev=10, n_unseen=2, seed=1)
    chosen, more = splits.drop_unusable(chosen)
    check(corpus(), chosen, rejected | more)
    sizes = Counter(u.split for u in chosen)
    assert (sizes["test"], sizes["dev"]) == (20, 10)
    unseen = speakers(chosen, "test") - speakers(chosen, "train")
    assert len(unseen) == 2 and sum(u.speaker in unseen for u in chosen) == 10


def test_the_seed_decides() -> None:
    def ids(seed: int) -> set[str]:
        return {u.id for u in splits.draw(corpus(), 20, 10, 2, seed)[0] if u.split == "test"}

    assert ids(1) == ids(1) != ids(2)


def test_order_of_the_corpus_does_not_matter() -> None:
    first, _ = splits.draw(corpus(), 20, 10, 2, 1)
    second, _ = splits.draw(corpus()[::-1], 20, 10, 2, 1)
    assert set(first) == set(second)


def test_texts_that_every_speaker_reads_stay_out_of_test_while_there_are_others() -> None:
    shared = [Utterance(f"s{s}-x{i}", f"s{s}", f"shared {i}") for s in range(6) for i in range(5)]
    chosen, rejected = splits.draw(corpus() + shared, 20, 10, 2, 1)
    assert not any(t.startswith("shared") for t in texts(chosen, "test") | texts(chosen, "dev"))
    assert not any(r.reason == "text held out" for r in rejected.values())


def test_a_held_out_text_leaves_train() -> None:
    """Every speaker reads every text, so train loses the texts chosen for test."""
    same = [Utterance(f"s{s}-{i:02d}", f"s{s}", f"text {i}") for s in range(6) for i in range(40)]
    chosen, rejected = splits.draw(same, 12, 6, 1, 1)
    chosen, more = splits.drop_unusable(chosen)
    check(same, chosen, rejected | more)
    assert any(r.reason == "text held out" for r in rejected.values())


def test_speaker_of_one_utterance_has_no_voice_prompt() -> None:
    lone = Utterance("lone-0", "lone", "a text of its own")
    chosen, _ = splits.draw([*corpus(), lone], 20, 10, 2, 1)
    _, rejected = splits.drop_unusable(chosen)
    assert rejected["lone-0"].reason == "no other utterance for the voice prompt"


def test_what_the_corpus_holds_out_never_enters_train() -> None:
    both = corpus(hint="train") + corpus(3, hint="test", prefix="t") + corpus(2, hint="dev", prefix="d")
    chosen, rejected = splits.draw(both, 20, 10, 2, 1)
    chosen, more = splits.drop_unusable(chosen)
    check(both, chosen, rejected | more)
    assert speakers(chosen, "train") == {f"s{i}" for i in range(6)}
    assert speakers(chosen, "test") - speakers(chosen, "train") == {"t0", "t1", "t2"}
    assert {r.reason for u, r in rejected.items() if u.startswith("d")} == {"held out by the corpus"}


def test_more_speakers_are_drawn_when_the_corpus_holds_out_too_few() -> None:
    both = corpus(hint="train") + corpus(1, hint="test", prefix="t")
    chosen, _ = splits.draw(both, 20, 10, 3, 1)
    unseen = speakers(chosen, "test") - speakers(chosen, "train")
    assert "t0" in unseen and len(unseen) == 3


def test_excerpt_with_only_a_test_part_is_drawn_from_all_the_same() -> None:
    chosen, _ = splits.draw(corpus(hint="test"), 20, 10, 2, 1)
    assert Counter(u.split for u in chosen)["train"] > 0


@pytest.mark.parametrize(
    ("test", "dev", "unseen", "message"),
    [
        (480, 160, 2, r"ask for 640 of 180 usable utterances"),
        (20, 10, 6, r"unseen_speakers is 6, but the corpus has 6 speakers"),
    ],
)
def test_asking_for_too_much_says_what_there_is(test: int, dev: int, unseen: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        splits.draw(corpus(), test, dev, unseen, 1)


@pytest.mark.parametrize("each", [8, 12, 30])
@pytest.mark.parametrize("n_speakers", [1, 2, 6])
def test_a_refusal_names_values_that_work(n_speakers: int, each: int) -> None:
    small = corpus(n_speakers, each)
    with pytest.raises(DataError, match="These values of prepare would work") as refused:
        splits.split(small, 960, 160, 7, 1)
    unseen, test, dev = map(int, re.findall(r"\w+: (\d+)", str(refused.value).partition("would work")[2]))
    assert (unseen > 0) == (n_speakers > 1)
    chosen, rejected = splits.split(small, test, dev, unseen, 1)
    check(small, chosen, rejected)


def test_a_corpus_too_small_for_any_values_is_refused_as_such() -> None:
    with pytest.raises(DataError, match="No values of prepare would work"):
        splits.split(corpus(speakers=50, each=1), 960, 160, 4, 1)


def test_corpus_of_lone_utterances_cannot_be_split() -> None:
    with pytest.raises(DataError, match="only 0 could be chosen"):
        splits.draw(corpus(speakers=50, each=1), 4, 2, 0, 1)


def test_text_in_train_and_test_of_a_fixed_split_is_an_error() -> None:
    fixed = [Utterance("a", "s", "same", "train"), Utterance("b", "s", "same", "test")]
    with pytest.raises(DataError, match=r"1 texts are in train and in a held-out split, e.g. 'same'"):
        splits.drop_unusable(fixed)


def test_nothing_left_of_a_split_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing usable is left for dev and test"):
        splits.drop_unusable([Utterance("a", "s", "x", "train"), Utterance("b", "s", "y", "train")])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 40), st.sampled_from([None, "train", "test", "dev"])),
        min_size=10,
        max_size=120,
    ),
    unseen=st.integers(0, 2),
    seed=st.integers(0, 5),
)
def test_any_corpus_is_split_soundly_or_rejected(rows: list, unseen: int, seed: int) -> None:
    utterances = [Utterance(f"u{i:03d}", f"s{s}", f"text {t}", h) for i, (s, t, h) in enumerate(rows)]
    try:
        chosen, rejected = splits.draw(utterances, 6, 4, unseen, seed)
        chosen, more = splits.drop_unusable(chosen)
    except DataError:
        return
    check(utterances, chosen, rejected | more)
