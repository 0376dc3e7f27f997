"""Facts about a codec that are known without loading it, and without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import read
from model.errors import CheckpointError


@dataclass(frozen=True)
class Facts:
    """A codec's kind (its class in :mod:`model.codecs.registry`) and sizes."""

    kind: str
    sample_rate: int  # Hz
    n_codebooks: int
    codebook_size: int


PUBLISHED_FACTS = {"encodec_24khz": Facts("encodec", sample_rate=24000, n_codebooks=8, codebook_size=1024)}


def codec_facts(name_or_path: str) -> Facts:
    """Return the facts of a codec folder or of a published codec.

    Raises:
        CheckpointError: neither of them, or a ``config.json`` that is damaged or lacks one of the facts.
    """
    if name_or_path in PUBLISHED_FACTS:
        return PUBLISHED_FACTS[name_or_path]
    config = Path(name_or_path) / "config.json"
    if not config.is_file():
        raise CheckpointError(
            f"no codec {name_or_path!r}: expected a folder with config.json, or one of {sorted(PUBLISHED_FACTS)}"
        )
    fields = read(config)
    sizes: dict[str, Any] = {name: fields.get(name) for name in ("sample_rate", "n_codebooks", "codebook_size")}
    for name, value in sizes.items():
        if not isinstance(value, int) or value <= 0:
            raise CheckpointError(f"{config} should name a positive {name}, but has {value!r}")
    return Facts(str(fields.get("model_type", "")), **sizes)
