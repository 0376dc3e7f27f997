"""How the policy is sampled: from ``params.yaml`` to the sampler."""

from __future__ import annotations

from model.sampling import Decoding
from tasks.common.params import Params


def decoding_of(params: Params) -> Decoding:
    """The sampler's settings; how many are sampled at once is no part of them."""
    return Decoding(**params.decoding.model_dump(exclude={"batch_size"}))
