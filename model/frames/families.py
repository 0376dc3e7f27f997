"""Which classes of ``transformers`` are frame-parallel policies here, by ``model_type``, and their books."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.config import read
from model.errors import CheckpointError
from model.frames.books import Books

CONFIG = "config.json"


def _csm(config: Any) -> Books:
    for name in ("codebook_eos_token_id", "audio_eos_token_id"):
        if not isinstance(getattr(config, name), int):
            raise CheckpointError(f"{name} should be one number, found {getattr(config, name)!r}")
    return Books(
        count=config.num_codebooks,
        size=config.vocab_size,
        first=config.text_vocab_size,
        end_token=config.audio_eos_token_id,
        end_code=config.codebook_eos_token_id,
    )


BOOKS: dict[str, Callable[[Any], Books]] = {"csm": _csm}
CLASSES = {"csm": "CsmForConditionalGeneration"}  # of transformers


def class_of(kind: str) -> Any:
    """Return the class of a frame-parallel ``model_type``, or None for any other."""
    if kind not in CLASSES:
        return None
    import transformers

    return getattr(transformers, CLASSES[kind])


def model_type(folder: Path) -> str:
    """Return the ``model_type`` of a folder's configuration; "" where there is none.

    Raises:
        CheckpointError: a damaged ``config.json``.
    """
    return str(read(folder / CONFIG).get("model_type", "")) if (folder / CONFIG).is_file() else ""


def books_in(model: Any) -> Books | None:
    """Return the books of a frame-parallel model, also within a wrapper for several processes; None for any other.

    Raises:
        CheckpointError: an end of speech that is not one code.
    """
    config = getattr(getattr(model, "module", model), "config", None)
    make = BOOKS.get(str(getattr(config, "model_type", "")))
    return None if make is None else make(config)


def books_of(folder: Path) -> Books | None:
    """Return the books of a frame-parallel checkpoint, or None for any other folder.

    Raises:
        CheckpointError: a damaged ``config.json``.
    """
    kind = model_type(folder)
    if kind not in BOOKS:
        return None
    from transformers import AutoConfig

    try:
        return BOOKS[kind](AutoConfig.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # transformers checks its fields with errors of several packages
        raise CheckpointError(f"{folder / CONFIG} does not fit {kind}: {error}") from error
