from tasks.align.method import Job
from tasks.align.schedule import chunks, schedule_of
from tests.tasks.align.pairs import pair, params


def test_every_epoch_sees_every_item_once_in_steps_of_the_given_size():
    steps = schedule_of([5] * 10, epochs=2, batch_size=4, seed=1)
    assert [len(s) for s in steps].count(4) == 4
    assert sorted(i for s in steps[:3] for i in s) == list(range(10))
    assert sorted(i for s in steps[3:] for i in s) == list(range(10))
    assert steps[:3] != steps[3:]


def test_micro_batches_join_to_the_step():
    assert chunks(list(range(5)), 2) == [[0, 1], [2, 3], [4]]


def test_the_steps_follow_the_fresh_pairs_and_earlier_ones_are_replayed_in_each():
    old = [{**pair(i), "iteration": "1"} for i in range(100, 130)]
    new = [{**pair(i), "iteration": "2"} for i in range(12)]
    settings = params()
    prefer = settings.prefer.model_copy(update={"replay": 0.25})
    chain = {"1": settings.iterations["1"], "2": settings.iterations["1"].model_copy(update={"prev": "1"})}
    settings = settings.model_copy(update={"prefer": prefer, "iterations": chain})

    def steps(pairs):
        schedule = Job(policy=None, pairs=pairs, params=settings, iteration="2", device=None).pair_schedule(2)
        return [[pairs[place] for place in step] for step in schedule]

    schedule = steps(new + old)
    assert len(schedule) == 2 * 12 / 3  # of 4 pairs, 3 are fresh
    assert [[p["iteration"] for p in step] for step in schedule] == [["2", "2", "2", "1"]] * 8
    for epoch in (schedule[:4], schedule[4:]):
        assert sorted(p["id"] for step in epoch for p in step[:3]) == sorted(p["id"] for p in new)
    assert len({step[3]["id"] for step in schedule}) == 8  # no earlier pair twice before every other once
    assert len(steps(new)) == 2 * 12 / 4
