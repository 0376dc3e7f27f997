"""Size of the policy that ``policy.start`` names, from its files: nothing is loaded and nothing fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from model.codecs.facts import codec_facts
from model.errors import CheckpointError
from model.frames.families import family_of, model_type
from model.layouts.spec import own_layout, read_layout
from tasks.common.params import Params
from tasks.common.params.models import TRAIN

CONFIG = "config.json"


@dataclass(frozen=True)
class Adopted:
    """A model's parameters and shape, and how its layout writes speech."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    positions: int  # that a frame of codes takes
    frame_rate: float | None  # of the layout's codec, if it names one
    whole: bool  # it writes every level of the codec


def adopted(params: Params) -> Adopted | None:
    """Return the size of the start policy; None where it is trained here, or its folder is not here.

    Raises:
        CheckpointError: a ``config.json`` that ``transformers`` does not take, or damaged weights.
        LayoutError: no layout, or one that cannot be read.
    """
    start = Path(params.policy.start)
    folder = start if (start / CONFIG).is_file() else start / "ar"
    if params.policy.start == TRAIN or not (folder / CONFIG).is_file():
        return None
    from transformers import AutoConfig

    layout = read_layout(params.policy.layout or str(own_layout(folder)))
    family = family_of(model_type(folder))
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True).get_text_config()
        shape = (config.num_hidden_layers, config.hidden_size, config.vocab_size)
    except Exception as error:  # transformers checks its fields with errors of several packages
        raise CheckpointError(f"{folder / CONFIG} is no model of transformers: {error}") from error
    return Adopted(
        _parameters(folder),
        *shape,
        positions=len(layout.codes.slots) if family is None else 1,
        frame_rate=layout.codec.frame_rate if layout.codec else None,
        whole=layout.codes.n_levels == codec_facts(params.models.codec).n_codebooks,
    )


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
