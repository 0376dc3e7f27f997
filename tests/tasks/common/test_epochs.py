"""The order of a training, in four bytes per item and epoch."""

import numpy as np

from model.training import length_buckets
from tasks.common.epochs import Epochs


def test_batches_are_those_of_each_epochs_seed():
    lengths = np.random.default_rng(0).integers(1, 300, 500).astype(np.int32)
    epochs = Epochs(lengths, 1024, ([3, epoch] for epoch in range(3)))
    expected = [b for e in range(3) for b in length_buckets(lengths.tolist(), 1024, np.random.default_rng([3, e]))]

    assert [epochs[step].tolist() for step in range(len(epochs))] == expected
    assert epochs[0].dtype == np.int32
