"""Facts about codecs in the folders of other projects: ``transformers``' classes, and the package ``snac``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model.config import read
from model.errors import CheckpointError

BANDWIDTH = 6.0  # kbit/s of EnCodec: 8 codebooks at 24 kHz
# model_type of config.json, for transformers' classes. "encodec" is ours too, and told apart by its sampling_rate.
HUGGING_FACE = {
    "encodec": "encodec_hf",
    "dac": "dac",
    "mimi": "mimi",
    "xcodec2": "xcodec2",
    "neucodec": "neucodec",
}

FOREIGN = {*HUGGING_FACE.values(), "snac"}


def kind_of(fields: dict[str, Any]) -> str:
    """Return the kind of a codec from the fields of its ``config.json``; "" if they name none."""
    if "vq_strides" in fields and "model_type" not in fields:
        return "snac"  # the package's folders do not name a type
    named = str(fields.get("model_type", ""))
    if named == "encodec" and "sampling_rate" not in fields:
        return named
    return HUGGING_FACE.get(named, named)


def sizes_of(kind: str, folder: Path) -> dict[str, int]:
    """Return ``sample_rate``, ``n_codebooks`` and ``codebook_size`` of a foreign folder.

    Raises:
        CheckpointError: a configuration that its class does not take, or a codec of 48 kHz stereo pieces.
    """
    if kind == "snac":
        fields = read(folder / "config.json")
        try:
            sizes = (int(fields["sampling_rate"]), len(fields["vq_strides"]), int(fields["codebook_size"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}/config.json is no SNAC's: {error!r}") from error
    else:
        sizes = _hugging_face(kind, folder)
    return dict(zip(("sample_rate", "n_codebooks", "codebook_size"), sizes, strict=True))


def _hugging_face(kind: str, folder: Path) -> tuple[int, int, int]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers checks its fields with errors of packages below it
        raise CheckpointError(f"{folder}/config.json does not fit its model_type: {error}") from error
    if kind == "encodec_hf":
        if config.normalize or config.chunk_length_s or config.audio_channels != 1:
            raise CheckpointError(f"{folder} codes normalized pieces or stereo; expected EnCodec's mono model")
        return config.sampling_rate, encodec_levels(config), config.codebook_size
    if kind == "dac":
        return config.sampling_rate, config.n_codebooks, config.codebook_size
    if kind == "mimi":
        return config.sampling_rate, config.num_quantizers, config.codebook_size
    size = 1
    for levels in config.quantization_levels:
        size *= levels
    return (config.sampling_rate if kind == "xcodec2" else config.output_sampling_rate), 1, size


def encodec_bandwidth(config: Any) -> float:
    """Return the bandwidth (kbit/s) that is used: 6, or the highest that the model was trained for."""
    return BANDWIDTH if BANDWIDTH in config.target_bandwidths else config.target_bandwidths[-1]


def encodec_levels(config: Any) -> int:
    """Return how many codebooks make that bandwidth."""
    bits = (config.codebook_size - 1).bit_length() * config.frame_rate
    return min(config.num_quantizers, max(1, int(encodec_bandwidth(config) * 1000 // bits)))
