"""The sampler's settings. In a module of their own: ``extract``, for one, needs no sampler."""

from __future__ import annotations

from model.drawing import Decoding
from tasks.common.params import Params


def decoding_of(params: Params) -> Decoding:
    """Return the sampler's settings. How many sequences are sampled at once is no part of them."""
    return Decoding(**params.decoding.model_dump(exclude={"batch_size"}))
