"""Parallel work whose results come in order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.common.ordered import ordered


def test_results_come_in_order_and_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(3) as pool:
        for item, result in ordered(pool, lambda i: i * i, items(), ahead=4):
            assert result() == item * item
            assert len(taken) <= item + 5
    assert taken == list(range(20))


def test_an_error_is_raised_with_its_own_item_and_what_waits_is_cancelled() -> None:
    started, release = [], threading.Event()

    def work(i: int) -> int:
        started.append(i)
        if i == 1:
            raise ValueError("one")
        if i > 1:
            release.wait(10)
        return i

    with ThreadPoolExecutor(1) as pool:
        stream = ordered(pool, work, range(9), ahead=5)
        assert next(stream)[1]() == 0
        with pytest.raises(ValueError, match="one"):
            next(stream)[1]()
        stream.close()
        release.set()
    assert max(started) <= 2
