"""Common lengths for padded batches.

A CPU keeps a compiled kernel, with its buffers, of every shape it has met: with every length its own, a training takes
half a gigabyte more, or two where its steps are many. A few common lengths cost a little padding and no result.
"""

PAD_TO = 32


def padded(length: int) -> int:
    """The next multiple of :data:`PAD_TO`."""
    return -(-length // PAD_TO) * PAD_TO
