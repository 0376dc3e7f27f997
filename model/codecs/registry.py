"""Every kind of codec, and loading one by folder or published name."""

from __future__ import annotations

import torch

from model.codecs.base import Codec
from model.codecs.encodec import Encodec
from model.codecs.facts import codec_facts
from model.codecs.hugging_face import Dac, Mimi, TransformersEncodec
from model.codecs.plugins import check_attributes, plugin_class
from model.codecs.semantic import NeuCodec, Xcodec2
from model.codecs.snac import Snac

CODECS: dict[str, type[Codec]] = {  # by the kind that model.codecs.facts reads from config.json
    "encodec": Encodec,
    "encodec_hf": TransformersEncodec,
    "dac": Dac,
    "mimi": Mimi,
    "xcodec2": Xcodec2,
    "neucodec": NeuCodec,
    "snac": Snac,
}


def load_codec(name_or_path: str, device: str | torch.device = "cpu") -> Codec:
    """Load a codec for inference.

    Args:
        name_or_path: a folder with ``config.json`` and ``model.safetensors``, or a name of
            :data:`model.codecs.facts.PUBLISHED_FACTS`, whose weights its package fetches. What else a folder of a
            plug-in holds is its package's affair (:mod:`model.codecs.plugins`).

    Raises:
        CheckpointError: no such codec, one of an unknown kind, or weights that do not fit the configuration.
    """
    kind = codec_facts(name_or_path).kind
    if kind in CODECS:
        return CODECS[kind].load(name_or_path, device)
    return check_attributes(plugin_class(kind, name_or_path).load(name_or_path, device), kind)
