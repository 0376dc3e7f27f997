"""Facts about a codec without loading its weights."""

from __future__ import annotations

from pathlib import Path

from model.codecs.encodec import PUBLISHED
from tasks.common.files import DataError, read_json

_PUBLISHED_FACTS = {"encodec_24khz": {"sample_rate": 24000, "codebook_size": 1024, "n_codebooks": 8}}
assert set(_PUBLISHED_FACTS) == set(PUBLISHED)


def facts(name_or_path: str) -> dict:
    """``sample_rate``, ``codebook_size`` and ``n_codebooks`` of a codec folder or a published codec."""
    if name_or_path in _PUBLISHED_FACTS:
        return _PUBLISHED_FACTS[name_or_path]
    config = Path(name_or_path) / "config.json"
    if not config.is_file():
        raise DataError(
            f"models.codec is {name_or_path!r}: expected a folder with config.json, "
            f"or one of {sorted(_PUBLISHED_FACTS)}"
        )
    return read_json(config)


def codebook_size(name_or_path: str) -> int:
    return int(facts(name_or_path)["codebook_size"])
