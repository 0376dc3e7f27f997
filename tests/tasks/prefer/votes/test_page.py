import pytest

from tasks.prefer.votes import page
from tasks.prefer.votes.ballots import GOLDEN
from tests.tasks import sampled

ROWS = sampled.train_rows()


def trials(samples, n=10, golden=False, seed=0):
    return page.draw_trials(samples, ROWS, n, golden, [seed])


def test_each_text_gives_one_pair_of_its_own_samples():
    samples = sampled.samples()
    drawn = trials(samples)
    assert sorted(t.id for t in drawn) == ["u0", "u1", "u2", "u3"]
    assert all(samples[t.a]["id"] == samples[t.b]["id"] == t.id and t.a != t.b for t in drawn)
    assert trials(samples, n=2) == drawn[:2]


def test_the_order_is_random_and_follows_the_seed():
    samples = sampled.samples()
    assert trials(samples) == trials(samples)
    several = [t for seed in range(20) for t in trials(samples, seed=seed)]
    assert 20 < sum(t.a < t.b for t in several) < 60  # of 80: neither side is always played first
    assert len({tuple(t.id for t in trials(samples, seed=seed)) for seed in range(20)}) > 5


def test_golden_speech_is_compared_with_a_sample_on_either_side():
    samples = sampled.samples()
    several = [t for seed in range(10) for t in trials(samples, golden=True, seed=seed)]
    assert all((t.a == GOLDEN) != (t.b == GOLDEN) for t in several)
    assert len({t.a == GOLDEN for t in several}) == 2


def test_silence_and_equal_sounds_are_not_put_to_the_vote():
    samples = sampled.samples()
    for sample in samples:
        if sample["id"] == "u0":
            sample["tokens"] = [1, 2, 3]
        if sample["id"] == "u1" and sample["draw"] != 1:
            sample["tokens"] = []
    assert sorted(t.id for t in trials(samples)) == ["u2", "u3"]
    assert sorted(t.id for t in trials(samples, golden=True)) == ["u0", "u1", "u2", "u3"]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", 'a "quoted", text'])
def test_a_text_cannot_leave_the_page(text):
    line = dict.fromkeys(page.COLUMNS, "") | {"text": text}
    html = page.page([line], [["QQ==", "QQ=="]], "1")
    assert html.count("<script") == 2 and html.count("</script>") == 2
    assert "http" not in html.replace("http-equiv", "")  # nothing is fetched from anywhere


def test_texts_without_a_recording_are_voted_on_by_their_samples_alone():
    samples = [
        sample | {"id": f"text-{sample['id']}"} if sample["id"] == "u0" else sample for sample in sampled.samples()
    ]
    assert sorted(t.id for t in trials(samples)) == ["text-u0", "u1", "u2", "u3"]
    assert sorted(t.id for t in trials(samples, golden=True)) == ["u1", "u2", "u3"]
