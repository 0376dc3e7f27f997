"""Facts about a codec that are known without loading it, and without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.codecs.folders import FOREIGN, kind_of, sizes_of
from model.config import read
from model.errors import CheckpointError


@dataclass(frozen=True)
class Facts:
    """A codec's kind (its class in :mod:`model.codecs.registry`) and sizes."""

    kind: str
    sample_rate: int  # Hz, of what it decodes
    n_codebooks: int
    codebook_size: int


PUBLISHED_FACTS = {
    "encodec_24khz": Facts("encodec", sample_rate=24000, n_codebooks=8, codebook_size=1024),
    "facebook/encodec_24khz": Facts("encodec_hf", sample_rate=24000, n_codebooks=8, codebook_size=1024),
    "descript/dac_24khz": Facts("dac", sample_rate=24000, n_codebooks=32, codebook_size=1024),
    "descript/dac_44khz": Facts("dac", sample_rate=44100, n_codebooks=9, codebook_size=1024),
    "kyutai/mimi": Facts("mimi", sample_rate=24000, n_codebooks=32, codebook_size=2048),
    "HKUSTAudio/xcodec2-hf": Facts("xcodec2", sample_rate=16000, n_codebooks=1, codebook_size=65536),
    "neuphonic/neucodec": Facts("neucodec", sample_rate=24000, n_codebooks=1, codebook_size=65536),
    "hubertsiuzdak/snac_24khz": Facts("snac", sample_rate=24000, n_codebooks=3, codebook_size=4096),
}


def published(kind: str, sample_rate: int) -> str | None:
    """Return the name of a published codec of this kind, or None; of several the one with this rate in Hz."""
    names = [name for name, facts in PUBLISHED_FACTS.items() if facts.kind == kind]
    return min(names, key=lambda name: PUBLISHED_FACTS[name].sample_rate != sample_rate, default=None)


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
    kind = kind_of(fields)
    if kind in FOREIGN:
        return Facts(kind, **sizes_of(kind, Path(name_or_path)))
    sizes: dict[str, Any] = {name: fields.get(name) for name in ("sample_rate", "n_codebooks", "codebook_size")}
    for name, value in sizes.items():
        if not isinstance(value, int) or value <= 0:
            raise CheckpointError(f"{config} should name a positive {name}, but has {value!r}")
    return Facts(kind, **sizes)
