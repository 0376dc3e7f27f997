"""Parallel work against a ``for`` loop."""

import threading

import torch

from model.fast.parallel import parallel_map


def square(worker, piece):
    return piece * piece


def test_results_are_those_of_a_loop():
    threads = torch.get_num_threads()
    pieces = [torch.randn(3, generator=torch.Generator().manual_seed(i)) for i in range(7)]
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            for ours, theirs in zip(parallel_map(square, pieces), [p * p for p in pieces], strict=True):
                assert torch.equal(ours, theirs)
    finally:
        torch.set_num_threads(threads)


def test_results_come_in_order_and_workers_do_not_share_their_number():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together, seen = threading.Barrier(2, timeout=10), []

        def work(worker, piece):
            together.wait()  # only two workers at once get past this
            seen.append((worker, threading.get_ident(), torch.get_num_threads()))
            return piece * 2

        assert parallel_map(work, [1, 2, 3, 4]) == [2, 4, 6, 8]
        later = []  # a thread that begins afterwards, as a server's do, has all of PyTorch's threads again
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(threads)
    assert {worker for worker, _, _ in seen} == {0, 1}
    assert len({(worker, thread) for worker, thread, _ in seen}) == 2
    assert {n for _, _, n in seen} == {1}


def test_one_piece_runs_where_it_is_called():
    def where(worker, piece):
        return worker, threading.get_ident()

    assert parallel_map(where, [0]) == [(0, threading.get_ident())]
