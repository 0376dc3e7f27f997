"""Shards in this process and in several: the same results in the same order, whoever is killed."""

from __future__ import annotations

import multiprocessing
import weakref
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.common import params as settings
from tasks.common.engine import WorkerError, Workers, cut
from tasks.common.files import DataError
from tasks.common.params import Params, ParamsError
from tests.conftest import REPOSITORY
from tests.tasks.common.engine import squares
from tests.tasks.common.engine.squares import Squares

CPU = torch.device("cpu")
NUMBERS = list(range(23))


def computed_by(engine: str, workers: int | str = "auto") -> Params:
    params = settings.load(REPOSITORY / "params.yaml")
    compute = params.compute.model_copy(update={"engine": engine, "workers": workers})
    return params.model_copy(update={"compute": compute})


@pytest.fixture
def parts(tmp_path: Path) -> Squares:
    (tmp_path / "power" / "deep").mkdir(parents=True)
    (tmp_path / "power" / "deep" / "exponent").write_text("2")
    return Squares(str(tmp_path / "power"))


@pytest.mark.parametrize(("n", "size"), [(0, 4), (3, 4), (4, 4), (23, 4), (128, 5)])
def test_parts_are_few_and_even_as_the_samplers_batches(n, size):
    parts = cut(range(n), size)
    assert parts == ([part.tolist() for part in np.array_split(range(n), -(-n // size))] if n else [])
    assert all(0 < len(part) <= size for part in parts)


@pytest.mark.parametrize("together", [1, 2, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_some_parts_together_are_cut_into_the_same_parts(size, together):
    for n in range(1, 80):
        parts = cut(range(n), size)
        groups = cut(parts, together)
        assert [part for group in groups for part in cut(list(chain.from_iterable(group)), size)] == parts


@pytest.mark.parametrize("engine", ["local", "processes"])
def test_items_on_disk_are_read_a_few_shards_at_a_time(parts, engine):
    alive = weakref.WeakSet()
    most = 0

    class Number(float):
        """A number that can be watched."""

        def __reduce__(self):
            return float, (float(self),)

    class Disk(Sequence):
        def __len__(self):
            return 1000

        def __getitem__(self, index):
            nonlocal most
            number = Number(index)
            alive.add(number)
            most = max(most, len(alive))
            return number

    with Workers(computed_by(engine, 1), parts, CPU) as workers:
        found = workers.spread(squares.powers, Disk(), key=lambda n: -n, size=4, on_done=lambda _: None)
    assert found == [n * n for n in range(1000)]
    assert most < 200


@pytest.mark.parametrize(("engine", "count"), [("local", 1), ("processes", 1), ("processes", 3)])
def test_every_engine_gives_every_items_result_in_order_and_tells_what_is_done(parts, engine, count):
    told: list[int] = []
    with Workers(computed_by(engine, count), parts, CPU) as workers:
        spread = workers.spread(squares.powers, NUMBERS, key=lambda n: -n, size=4, on_done=told.append)
        mapped = list(workers.map(squares.powers, ([n, n + 1] for n in range(9)), told.append))

    assert spread == [n * n for n in NUMBERS]
    assert mapped == [[n * n, (n + 1) ** 2] for n in range(9)]
    assert sum(told) == len(NUMBERS) + 18
    assert not multiprocessing.active_children()


def test_this_process_forgets_a_shard_before_it_reads_the_next(parts):
    class Shard(list):
        """A list that can be watched."""

    def shards():
        for n in range(3):
            shard = Shard([n])
            watched = weakref.ref(shard)
            yield shard
            del shard
            assert watched() is None

    with Workers(computed_by("local"), parts, CPU) as workers:
        assert [found[0] for found in workers.map(squares.powers, shards(), print)] == [0, 1, 4]


def test_a_worker_computes_with_one_thread_and_so_does_this_process_with_one_shard(parts):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for engine in ("local", "processes"):
            with Workers(computed_by(engine, 1), parts, CPU) as workers:
                [(_, _, threads)] = workers.spread(squares.places, [1], key=int, size=4, on_done=print)
            assert threads == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [3, 34, 35, 66])
def test_threads_that_share_a_shard_have_several_parts_of_it(parts, count):
    """A part by itself would be computed with all threads, so with other rounding."""
    before, sizes = torch.get_num_threads(), []

    def work(_state, shard, _done):
        sizes.append(len(shard))
        return shard

    torch.set_num_threads(2)
    try:
        with Workers(computed_by("local"), parts, CPU) as workers:
            assert workers.spread(work, range(count), key=int, size=2, on_done=print) == list(range(count))
    finally:
        torch.set_num_threads(before)
    assert min(sizes) > 2 and max(sizes) <= 2 * 16


def test_a_killed_workers_shards_are_done_again(parts, tmp_path):
    names = [str(tmp_path / f"killed-{i}") if i in (1, 4) else "" for i in range(6)]
    with Workers(computed_by("processes", 2), parts, CPU) as workers:
        found = list(workers.map(squares.killed_once, ([name] for name in names), print))

    assert found == [[name.upper()] for name in names]
    assert all(Path(name).exists() for name in names if name)


def test_shards_that_always_kill_their_worker_end_the_stage_with_what_to_do(parts):
    with (
        Workers(computed_by("processes", 1), parts, CPU) as workers,
        pytest.raises(WorkerError, match=r"3 times before any shard was done .* lower compute\.workers"),
    ):
        list(workers.map(squares.killed, [["a"]], print))
    assert not multiprocessing.active_children()


def test_a_workers_own_error_is_the_stages(parts):
    with (
        Workers(computed_by("processes", 1), parts, CPU) as workers,
        pytest.raises(DataError, match="found 3, expected another"),
    ):
        list(workers.map(squares.refused, [[3], [4]], print))


def test_an_engine_that_is_not_installed_says_what_to_install(parts, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with Workers(computed_by("ray"), parts, CPU) as workers, pytest.raises(ParamsError, match="pip install"):
        list(workers.map(squares.powers, [[1]], print))
