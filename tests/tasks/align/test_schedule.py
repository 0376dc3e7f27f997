from tasks.align.schedule import chunks, schedule_of


def test_every_epoch_sees_every_item_once_in_steps_of_the_given_size():
    steps = schedule_of([5] * 10, epochs=2, batch_size=4, seed=1)
    assert [len(s) for s in steps].count(4) == 4
    assert sorted(i for s in steps[:3] for i in s) == list(range(10))
    assert sorted(i for s in steps[3:] for i in s) == list(range(10))
    assert steps[:3] != steps[3:]


def test_micro_batches_join_to_the_step():
    assert chunks(list(range(5)), 2) == [[0, 1], [2, 3], [4]]
