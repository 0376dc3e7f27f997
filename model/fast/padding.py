"""Common lengths for padded batches.

PyTorch keeps a compiled kernel with its buffers for every shape on a CPU. Where every batch has its own length, a
training takes half a gigabyte more, or two if its steps are many. A few common lengths cost a little padding and change
no result.
"""

PAD_TO = 32


def padded(length: int) -> int:
    """Return the next multiple of :data:`PAD_TO`."""
    return -(-length // PAD_TO) * PAD_TO
