"""Recorded steps give what plain steps give. A CPU repeats them without a graph: shapes and memory are as on a GPU."""

import warnings

import numpy as np
import pytest
import torch

from model import policy
from model.drawing import Decoding
from model.fast import kv_cache, recording
from model.fast.kv_cache import FIXED_GROWTH, GROWTH
from model.fast.recording import RecordedCache, RecordedDecoder, Recording
from model.sampling import Request, sample
from tests.sequences import Own

OWN = Own(32)


@pytest.fixture(scope="module")
def ar():
    torch.manual_seed(0)
    return policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=256), OWN.codebook_size).model.eval()


def requests(copies):
    """Requests of unequal length, each context ``copies`` times; the longest outgrow the cache."""
    rng = np.random.default_rng(1)
    made = []
    for number in range(24 // copies):
        context = OWN.context("one two three"[: rng.integers(1, 13)], rng.integers(0, 32, rng.integers(1, 20)).tolist())
        most = int(rng.integers(1, 3 * FIXED_GROWTH))
        made += [Request(tuple(context), most, 100 * number + copy) for copy in range(copies)]
    return made


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and (a.finished, a.stop) == (b.finished, b.stop)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)
        np.testing.assert_allclose(a.behavior, b.behavior, atol=1e-5)


@pytest.fixture
def recorded(monkeypatch):
    """Record on a CPU too; returns what was recorded."""
    made = []

    class Counted(Recording):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(recording, "is_on", lambda _device: True)
    monkeypatch.setattr(recording, "Recording", Counted)
    monkeypatch.setattr(kv_cache, "FIXED_GROWTH", 8)
    return made


@pytest.mark.parametrize("copies", [1, 4], ids=["own contexts", "shared contexts"])
@pytest.mark.parametrize("decoding", [Decoding(), Decoding(0.8, top_k=9, top_p=0.9), Decoding(repetition_penalty=1.3)])
def test_samples_are_those_of_plain_steps(ar, recorded, monkeypatch, copies, decoding):
    found = sample(ar, requests(copies), decoding, OWN.drawable, 24)
    steps = max(len(s.tokens) for s in found)
    assert steps > GROWTH + 2 * kv_cache.FIXED_GROWTH and 2 < len(recorded) < steps / 4
    monkeypatch.undo()
    assert_same(found, sample(ar, requests(copies), decoding, OWN.drawable, 24))


@torch.inference_mode()
@pytest.mark.parametrize("copies", [1, 4])
def test_a_step_is_repeated_on_the_memory_that_it_was_recorded_with_only(ar, copies, monkeypatch):
    decoder = RecordedDecoder(recording.Decoder(ar))
    _, cache = decoder.prefill([r.context for r in requests(copies)])
    assert isinstance(cache, RecordedCache)
    positions = torch.tensor([len(r.context) for r in requests(copies)])
    for step in range(FIXED_GROWTH + 8):
        if step == 5:
            keep = torch.arange(8)
            cache.keep(keep)
            positions = positions[keep]
            assert cache.recording is None
        decoder.step(torch.full_like(positions, 7), positions + step, cache)
        now, held = cache.own.tensors(), cache.recording.held
        assert [(x.data_ptr(), x.shape, x.stride()) for x in now] == [(x.data_ptr(), x.shape, x.stride()) for x in held]


def test_what_cannot_be_recorded_is_sampled_without_after_one_warning_each(ar, monkeypatch):
    def refuse(*_):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    expected = sample(ar, requests(1), Decoding(), OWN.drawable, 24)
    monkeypatch.setattr(recording, "is_on", lambda _device: True)
    monkeypatch.setattr(recording, "Recording", refuse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = sample(ar, requests(1), Decoding(), OWN.drawable, 24)
    assert_same(found, expected)
    assert len(caught) == 2  # of a step and of a draw
    assert "not permitted when stream is capturing); it goes on" in str(caught[0].message)


@torch.inference_mode()
def test_steps_are_recorded_in_any_order_and_pytorchs_setting_comes_back(ar, monkeypatch):
    seen = []
    newest = recording.Decoder.newest

    def spied(*arguments):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return newest(*arguments)

    monkeypatch.setattr(recording.Decoder, "newest", spied)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        decoder = RecordedDecoder(recording.Decoder(ar))
        _, cache = decoder.prefill([(1, 2, 3)])
        decoder.step(torch.tensor([7]), torch.tensor([3]), cache)
        assert seen[0] is False
        assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_recording_computes_its_function_of_new_values():
    weight = torch.arange(3.0)
    double = Recording(lambda x, y: (x * weight + y, x + y), (torch.ones(3), torch.zeros(3)), [weight])
    first, second = double(torch.full((3,), 2.0), torch.ones(3))
    assert first.tolist() == [1.0, 3.0, 5.0] and second.tolist() == [3.0, 3.0, 3.0]
    weight.fill_(0.0)
    assert double(torch.ones(3), torch.ones(3))[0] is first and first.tolist() == [1.0, 1.0, 1.0]


def test_only_a_gpu_records_and_a_variable_switches_it_off(monkeypatch):
    assert not recording.is_on(torch.device("cpu")) and recording.is_on(torch.device("cuda"))
    monkeypatch.setenv(recording.SWITCH, "0")
    assert not recording.is_on(torch.device("cuda"))
