import numpy as np

from tasks.prefer.votes.ballots import GOLDEN
from tasks.prefer.votes.loop import draw_pairs
from tests.tasks import sampled

RECORDINGS = sampled.golden()


def pairs(samples, golden=False, seed=0):
    return draw_pairs(samples, RECORDINGS, golden, np.random.default_rng(seed), lambda prompt, tokens: np.zeros(1))


def labels(drawn):
    return [(pair.id, pair.a.label, pair.b.label) for pair in drawn]


def test_each_text_gives_one_pair_of_its_own_samples():
    drawn = pairs(sampled.samples())
    assert sorted(pair.id for pair in drawn) == ["u0", "u1", "u2", "u3"]
    assert all(pair.a.label != pair.b.label for pair in drawn)
    assert all(pair.a.details["seed"].startswith("0x") for pair in drawn)


def test_the_order_is_random_and_follows_the_seed():
    samples = sampled.samples()
    assert labels(pairs(samples)) == labels(pairs(samples))
    several = [pair for seed in range(20) for pair in pairs(samples, seed=seed)]
    assert 20 < sum(pair.a.label < pair.b.label for pair in several) < 60  # of 80: neither is always played first
    assert len({tuple(pair.id for pair in pairs(samples, seed=seed)) for seed in range(20)}) > 5


def test_golden_speech_is_compared_with_a_sample_on_either_side():
    several = [pair for seed in range(10) for pair in pairs(sampled.samples(), golden=True, seed=seed)]
    assert all({pair.a.system, pair.b.system} == {"golden", "sample"} for pair in several)
    assert len({pair.a.system for pair in several}) == 2
    assert GOLDEN == -1


def test_silence_and_equal_sounds_are_not_put_to_the_vote():
    samples = sampled.samples()
    for sample in samples:
        if sample["id"] == "u0":
            sample["tokens"] = [1, 2, 3]
        if sample["id"] == "u1" and sample["draw"] != 1:
            sample["tokens"] = []
    assert sorted(pair.id for pair in pairs(samples)) == ["u2", "u3"]
    assert sorted(pair.id for pair in pairs(samples, golden=True)) == ["u0", "u1", "u2", "u3"]


def test_texts_without_a_recording_are_voted_on_by_their_samples_alone():
    samples = [
        sample | {"id": f"text-{sample['id']}"} if sample["id"] == "u0" else sample for sample in sampled.samples()
    ]
    assert sorted(pair.id for pair in pairs(samples)) == ["text-u0", "u1", "u2", "u3"]
    assert sorted(pair.id for pair in pairs(samples, golden=True)) == ["u1", "u2", "u3"]
