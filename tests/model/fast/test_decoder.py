"""The decoder against transformers' own forward pass of the same weights."""

import pytest
import torch

from model import policy
from model.fast.decoder import Decoder
from model.fast.kv_cache import GROWTH, Cache, SharedCache
from tests.sequences import Own


@pytest.fixture(scope="module", params=[torch.float32, torch.float64])
def ar(request):
    torch.manual_seed(0)
    shape = policy.ArShape(layers=2, width=32, heads=2, max_positions=128)
    return policy.build(shape, 32).model.to(request.param).eval()


@torch.inference_mode()
def test_contexts_and_steps_equal_transformers_whatever_the_lengths(ar):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, Own(32).size, (5, 20 + 2 * GROWTH), generator=generator)
    lengths = torch.tensor([7, 20, 7, 12, 1])
    decoder = Decoder(ar)
    logits, cache = decoder.prefill([tuple(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)])
    expected = ar(ids).logits
    rows = torch.arange(5)
    for step in range(2 * GROWTH):
        torch.testing.assert_close(logits, expected[rows, lengths - 1 + step], atol=1e-5, rtol=1e-5)
        if step == GROWTH // 2:  # some rows leave, past the first growth
            rows = torch.tensor([4, 1, 3])  # the second stays where it is
            cache.keep(rows)
            ids, expected, lengths = ids[rows], expected[rows], lengths[rows]
            rows = torch.arange(3)
        logits = decoder.step(ids[rows, lengths + step], lengths + step, cache)


@torch.inference_mode()
def test_rows_that_share_a_context_equal_transformers_while_they_leave(ar):
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, Own(32).size, (7, 12 + 2 * GROWTH), generator=generator)
    lengths = torch.tensor([5, 12, 5, 5, 12, 12, 9])
    ids[3, :5] = ids[2, :5] = ids[0, :5]  # the first context three times, the second three times, the last once
    ids[5, :12] = ids[4, :12] = ids[1, :12]
    decoder = Decoder(ar)
    logits, cache = decoder.prefill([tuple(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)])
    assert isinstance(cache, SharedCache) and len(cache.contexts.blocked) == 3
    expected, rows = ar(ids).logits, torch.arange(7)
    leaving = {3: [6, 1, 0, 3, 4], GROWTH + 1: [4, 2, 3], GROWTH + 5: [0]}  # one of a context, a whole one, all but one
    for step in range(2 * GROWTH):
        torch.testing.assert_close(logits, expected[rows, lengths - 1 + step], atol=1e-5, rtol=1e-5)
        if step in leaving:
            keep = torch.tensor(leaving[step])
            cache.keep(keep)
            ids, expected, lengths = ids[keep], expected[keep], lengths[keep]
            rows = torch.arange(len(keep))
        logits = decoder.step(ids[rows, lengths + step], lengths + step, cache)


@pytest.mark.parametrize("copies", [1, 3])  # one is copied to its row, three share the context
def test_equal_contexts_are_computed_once(ar, monkeypatch, copies):
    decoder, seen = Decoder(ar), []
    forward = decoder._forward
    monkeypatch.setattr(decoder, "_forward", lambda ids, *rest: seen.append(ids.tolist()) or forward(ids, *rest))
    with torch.inference_mode():
        logits, cache = decoder.prefill([(1, 2, 3)] * copies + [(1, 2, 3), (1, 2, 4), (4, 5)])
    assert seen == [[[1, 2, 3], [1, 2, 4]], [[4, 5]]]
    assert isinstance(cache, Cache if copies == 1 else SharedCache)
    assert torch.equal(logits[0], logits[copies]) and not torch.equal(logits[0], logits[copies + 1])


@torch.inference_mode()
def test_contexts_of_nearly_one_length_share_a_pass_and_nothing_else(ar, monkeypatch):
    decoder, passes = Decoder(ar), []
    forward = decoder._forward
    monkeypatch.setattr(decoder, "_forward", lambda ids, *rest: passes.append(ids.shape) or forward(ids, *rest))
    contexts = [(i, *range(1, n)) for i, n in enumerate((20, 20, 18, 17, 12))]
    together, cache = decoder.prefill(contexts)
    assert passes == [(3, 20), (1, 17), (1, 12)]
    for row, context in enumerate(contexts):
        alone, own = decoder.prefill([context])
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-6)
        for held, kept in zip(cache.layers, own.layers, strict=True):
            begin = cache.end - len(context)
            torch.testing.assert_close(held[:, row, :, begin : cache.end], kept[:, 0, :, : own.end])


def test_fewer_key_value_heads_are_refused():
    config = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=16), 8).model.config
    config.num_key_value_heads = 1
    with pytest.raises(ValueError, match="key/value heads for"):
        Decoder(type(policy.build(policy.ArShape(layers=1, width=16, heads=2), 8).model)(config))
