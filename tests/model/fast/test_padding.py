"""Padded batches against batches of one, which need no padding."""

import torch

from model import policy
from model.fast.padding import PAD_TO, padded
from model.objectives.logprobs import collate, sequence_logprobs
from tests.sequences import Own


def test_lengths_are_rounded_up():
    assert [padded(n) for n in (1, PAD_TO, PAD_TO + 1)] == [PAD_TO, PAD_TO, 2 * PAD_TO]


@torch.inference_mode()
def test_common_lengths_change_no_log_probability(monkeypatch):
    torch.manual_seed(0)
    own = Own(16)
    ar = policy.build(policy.ArShape(layers=2, width=32, heads=2, max_positions=128), own.codebook_size).model.eval()
    contexts = [own.context("one two"[:n], [1, 2]) for n in (3, 7)]
    targets = [own.target([4] * n) for n in (5, 60)]
    ids, labels = collate(contexts, targets)
    assert ids.shape[1] % PAD_TO == 0
    together = sequence_logprobs(ar(ids).logits, labels)
    monkeypatch.setattr("model.objectives.logprobs.padded", lambda length: length)
    for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        ids, labels = collate([context], [target])
        assert ids.shape[1] == len(context) + len(target) - 1
        torch.testing.assert_close(sequence_logprobs(ar(ids).logits, labels)[0], together[row])
