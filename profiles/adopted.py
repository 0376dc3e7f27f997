"""What is known of the policy that ``policy.start`` names, from its files: nothing is loaded and nothing fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from model.codecs.facts import codec_facts
from model.errors import CheckpointError
from model.frames.families import family_of, model_type
from model.layouts.files import own_layout, read_layout
from model.layouts.hub import cached_folder
from tasks.common.params import Params
from tasks.common.params.models import TRAIN

CONFIG = "config.json"


@dataclass(frozen=True)
class Sizes:
    """A model's parameters and shape."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    cache: int  # numbers that the key/value cache takes per position and layer


@dataclass(frozen=True)
class Adopted:
    """An adopted policy's size, and how its layout writes speech."""

    sizes: Sizes | None  # None: its folder is not here
    nar: int | None  # the parameters of the NAR next to it; None: not known
    positions: int  # that a frame of codes takes
    frame_rate: float | None  # of the layout's codec, if it names one
    whole: bool  # it writes every level of the codec, so that there is no NAR


def adopted(params: Params) -> Adopted | None:
    """Return what is known of the start policy; None where it is trained here, or nothing of it is here.

    Raises:
        CheckpointError: a ``config.json`` that ``transformers`` does not take, or damaged weights.
        LayoutError: no layout, or one that cannot be read.
    """
    if params.policy.start == TRAIN:
        return None
    start = cached_folder(params.policy.start)
    folder = start if start is None or (start / CONFIG).is_file() else start / "ar"
    here = folder is not None and (folder / CONFIG).is_file()
    if not here and params.policy.layout is None:
        return None
    layout = read_layout(params.policy.layout or str(own_layout(folder)))
    family = family_of(model_type(folder)) if folder is not None and here else None
    whole = layout.codes.n_levels == codec_facts(params.models.codec).n_codebooks
    second = start / "nar" if start else None
    return Adopted(
        _sizes(folder) if folder is not None and here else None,
        nar=0 if whole else _parameters(second) if second is not None and (second / CONFIG).is_file() else None,
        positions=len(layout.codes.slots) if family is None else 1,
        frame_rate=layout.codec.frame_rate if layout.codec else None,
        whole=whole,
    )


def _sizes(folder: Path) -> Sizes:
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        config = config.get_text_config()
        layers, width, vocabulary = config.num_hidden_layers, config.hidden_size, config.vocab_size
        heads = config.num_attention_heads
        keys = getattr(config, "num_key_value_heads", None) or heads
        cache = 2 * keys * (getattr(config, "head_dim", None) or width // heads)
    except Exception as error:  # transformers checks its fields with errors of several packages
        raise CheckpointError(f"{folder / CONFIG} is no model of transformers: {error}") from error
    return Sizes(_parameters(folder), layers, width, vocabulary, cache)


def _parameters(folder: Path) -> int:
    """Return how many numbers a folder's weights are, from the files' headers."""
    found = 0
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "np") as weights:
                found += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} is damaged or half a download: {error}") from error
    return found
