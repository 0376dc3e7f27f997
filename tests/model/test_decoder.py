"""The decoder against transformers' own forward pass of the same weights."""

import pytest
import torch

from model import policy
from model.decoder import GROWTH, Decoder
from model.tokens import Vocabulary


@pytest.fixture(scope="module", params=[torch.float32, torch.float64])
def ar(request):
    torch.manual_seed(0)
    shape = policy.ArShape(layers=2, width=32, heads=2, max_positions=128)
    return policy.build(shape, Vocabulary(32)).to(request.param).eval()


@torch.inference_mode()
def test_contexts_and_steps_equal_transformers_whatever_the_lengths(ar):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, Vocabulary(32).size, (5, 20 + 2 * GROWTH), generator=generator)
    lengths = torch.tensor([7, 20, 7, 12, 1])
    decoder = Decoder(ar)
    logits, cache = decoder.prefill([tuple(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)])
    expected = ar(ids).logits
    rows = torch.arange(5)
    for step in range(2 * GROWTH):
        torch.testing.assert_close(logits, expected[rows, lengths - 1 + step], atol=1e-5, rtol=1e-5)
        if step == GROWTH // 2:  # some rows leave, past the first growth
            rows = torch.tensor([3, 1, 4])
            cache.keep(rows)
            ids, expected, lengths = ids[rows], expected[rows], lengths[rows]
            rows = torch.arange(3)
        logits = decoder.step(ids[rows, lengths + step], lengths + step, cache)


def test_equal_contexts_are_computed_once(ar, monkeypatch):
    decoder, seen = Decoder(ar), []
    forward = decoder._forward
    monkeypatch.setattr(decoder, "_forward", lambda ids, *rest: seen.append(ids.tolist()) or forward(ids, *rest))
    with torch.inference_mode():
        logits, cache = decoder.prefill([(1, 2, 3), (1, 2, 3), (1, 2, 4), (4, 5)])
    assert seen == [[[1, 2, 3], [1, 2, 4]], [[4, 5]]]
    assert torch.equal(logits[0], logits[1]) and not torch.equal(logits[0], logits[2])
    for kv in cache.layers:
        assert torch.equal(kv[:, 0, :, : cache.end], kv[:, 1, :, : cache.end])


def test_fewer_key_value_heads_are_refused():
    config = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=16), Vocabulary(8)).config
    config.num_key_value_heads = 1
    with pytest.raises(ValueError, match="as many key/value heads"):
        Decoder(type(policy.build(policy.ArShape(layers=1, width=16, heads=2), Vocabulary(8)))(config))
