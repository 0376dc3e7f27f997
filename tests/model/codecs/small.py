"""A small EnCodec for tests."""

from __future__ import annotations

import torch
from encodec import EncodecModel

from model.codecs import encodec

CONFIG = encodec.CodecConfig(n_filters=2, dimension=8, n_codebooks=2, codebook_size=16)


def small_model(config: encodec.CodecConfig = CONFIG, scale: float = 1.0) -> EncodecModel:
    """Return an untrained model with random codebooks; k-means would fill them at the first training batch."""
    torch.manual_seed(0)
    model = encodec.build(config).eval()
    for layer in model.quantizer.vq.layers:
        layer._codebook.embed.normal_().mul_(scale)
        layer._codebook.inited.fill_(1)
    return model
