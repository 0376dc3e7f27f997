"""Pairs of written judgements: what counts as better, and how many pairs a control gets."""

import pytest

from model.judges.panel import Judgement
from tasks.common.params import load
from tasks.prefer.sources import pair_up, source_of
from tests.tasks import sampled
from tests.tasks.register import tiny


def judged(hypothesis, word_errors, similarity=0.8):
    return Judgement(hypothesis, word_errors, 2, 0, 7, similarity, 0, 0, len(hypothesis.split()), word_errors, 2)


RIGHT, ONE_WRONG, NOTHING = judged("one two", 0), judged("one three", 1), judged("", 2)
BABBLE = judged("five six seven eight", 4)
RUNS_ON = judged("one two six seven eight nine", 4)


@pytest.fixture
def pairs_of(tmp_path, monkeypatch):
    """A function from a source and judgements of the three draws of u0 to u3 to the pairs."""
    monkeypatch.chdir(tmp_path)
    tiny.params(tmp_path)

    def make(source, judgements, **prefer):
        sampled.configure(tmp_path, source=source, **prefer)
        params, stop = load(), sampled.LAYOUT.stops[0]
        samples = [{**s, "finished": True, "stop": stop} for s in sampled.samples()]
        golden = sampled.golden()
        kind = source_of(params, "1", samples, golden, "judge")
        return list(pair_up(kind, samples, [j for text in judgements for j in text], golden, params, "1"))

    return make


def draws(pairs):
    """Each pair's text with the draws of its chosen and rejected side."""
    where = {s["seed"]: s["draw"] for s in sampled.samples()}
    return [(p["id"], where[p["chosen_seed"]], where[p["rejected_seed"]]) for p in pairs]


def test_wer_above_1_is_1_so_silence_does_not_win_over_babble(pairs_of):
    texts = [(NOTHING, BABBLE, BABBLE), (RIGHT, RUNS_ON, NOTHING), (ONE_WRONG, BABBLE, NOTHING)]
    pairs = pairs_of("own_samples", [*texts, (RIGHT, RIGHT, RIGHT)], max_chosen_wer=0.5)
    assert draws(pairs) == [("u1", 0, 1), ("u2", 0, 1)]
    assert [(p["chosen_wer"], p["rejected_wer"]) for p in pairs] == [(0.0, 1.0), (0.5, 1.0)]
    assert draws(pairs_of("own_samples", [*texts, (RIGHT, RIGHT, RIGHT)], max_chosen_wer=0.3)) == [("u1", 0, 1)]


@pytest.mark.parametrize("source", ["likelihood", "longest"])
def test_a_control_has_as_many_pairs_as_own_samples(pairs_of, source):
    texts = [(RIGHT, RIGHT, NOTHING), (RIGHT, RIGHT, BABBLE), (RIGHT, RIGHT, RIGHT), (RIGHT, RIGHT, RIGHT)]
    pairs = pairs_of(source, texts)
    assert len(pairs) == len(pairs_of("own_samples", texts)) == 2
    assert {p["source"] for p in pairs} == {source}
    assert pairs == pairs_of(source, texts)
    if source == "longest":
        assert {(chosen, rejected) for _, chosen, rejected in draws(pairs)} == {(2, 0)}
    else:  # only draws without an error
        assert all(p["chosen_wer"] == p["rejected_wer"] == 0 for p in pairs)


def test_a_control_that_finds_fewer_pairs_says_so(pairs_of, capsys):
    texts = [(RIGHT, NOTHING, NOTHING)] * 3 + [(RIGHT, RIGHT, NOTHING)]
    assert len(pairs_of("likelihood", texts)) == 1
    assert "warning: 1 control pairs, but own_samples gives 4" in capsys.readouterr().out


def test_random_labels_are_those_pairs_with_sides_by_chance(pairs_of):
    texts = [(RIGHT, ONE_WRONG, NOTHING)] * 4
    own, by_chance = pairs_of("own_samples", texts), pairs_of("random", texts)
    sides = [[frozenset((p["chosen_seed"], p["rejected_seed"])) for p in pairs] for pairs in (own, by_chance)]
    assert sides[0] == sides[1]
    assert 0 < sum(a["chosen_seed"] != b["chosen_seed"] for a, b in zip(own, by_chance, strict=True)) < 4


def test_credit_to_segments_starts_where_the_first_side_goes_wrong(pairs_of):
    texts = [(RIGHT, ONE_WRONG, ONE_WRONG), (RIGHT, NOTHING, NOTHING), (RIGHT, BABBLE, RIGHT), (RIGHT, RIGHT, RIGHT)]
    whole, segments = (pairs_of("own_samples", texts, credit=credit) for credit in ("utterance", "segment"))
    assert {(p["chosen_from"], p["rejected_from"]) for p in whole} == {(0, 0)}
    frames = [(len(p["chosen"]) - 1, len(p["rejected"]) - 1) for p in segments]
    assert [(p["chosen_from"], p["rejected_from"]) for p in segments] == [
        (frames[0][0] // 4, frames[0][1] // 4),
        (0, 0),
        (0, 0),
    ]
