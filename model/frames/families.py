"""Which classes of ``transformers`` are frame-parallel policies here, by ``model_type``, and their books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import read
from model.errors import CheckpointError
from model.frames.books import Books

if TYPE_CHECKING:
    from model.frames.adapter import FramePolicy

CONFIG = "config.json"


@dataclass(frozen=True)
class Family:
    """``name`` of the class in ``transformers``, its books by configuration, and its adapter.

    ``adapter`` takes the model as it is called, perhaps wrapped, and the model itself. A family ``of_bytes`` has no
    ``tokenizer.json``: its tokens of text are bytes (:mod:`model.frames.bytes`).
    """

    name: str
    books: Callable[[Any], Books]
    adapter: Callable[[Any, Any], FramePolicy]
    of_bytes: bool = False


def _csm_books(config: Any) -> Books:
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


def _csm(model: Any, inner: Any) -> FramePolicy:
    from model.frames.csm_policy import Csm  # torch, which what asks for books alone need not wait for

    return Csm(model, inner, _csm_books(inner.config))


def _dia_books(config: Any) -> Books:
    decoder, first = config.decoder_config, config.encoder_config.vocab_size
    if not isinstance(decoder.eos_token_id, int):
        raise CheckpointError(f"eos_token_id should be one number, found {decoder.eos_token_id!r}")
    return Books(
        count=decoder.num_channels,
        size=decoder.vocab_size,
        first=first,
        end_token=first + decoder.eos_token_id,  # of book 0
        end_code=decoder.eos_token_id,
    )


def _dia(model: Any, inner: Any) -> FramePolicy:
    from model.frames.dia_policy import Dia  # torch, as above

    return Dia(model, inner, _dia_books(inner.config))


FAMILIES = {
    "csm": Family("CsmForConditionalGeneration", _csm_books, _csm),
    "dia": Family("DiaForConditionalGeneration", _dia_books, _dia, of_bytes=True),
}
# Classes with frames that the loop cannot align, and why.
ENDLESS = "it has no code that ends speech, so every sample would run to its limit"
NO_POLICY = {"musicgen": ENDLESS, "musicgen_melody": ENDLESS}


def family_of(kind: str) -> Family | None:
    """Return the family of a ``model_type``, or None for a model of one token stream."""
    return FAMILIES.get(kind)


def class_of(kind: str) -> Any:
    """Return the class of a frame-parallel ``model_type``, or None for any other."""
    if kind not in FAMILIES:
        return None
    import transformers

    return getattr(transformers, FAMILIES[kind].name)


def model_type(folder: Path) -> str:
    """Return the ``model_type`` of a folder's configuration; "" where there is none.

    Raises:
        CheckpointError: a damaged ``config.json``.
    """
    return str(read(folder / CONFIG).get("model_type", "")) if (folder / CONFIG).is_file() else ""


def books_in(model: Any) -> Books | None:
    """Return the books of a frame-parallel model; None for any other.

    Raises:
        CheckpointError: an end of speech that is not one code.
    """
    family = family_of(model.config.model_type)
    return None if family is None else family.books(model.config)


def books_of(folder: Path) -> Books | None:
    """Return the books of a frame-parallel checkpoint, or None for any other folder.

    Raises:
        CheckpointError: a damaged ``config.json``.
    """
    kind = model_type(folder)
    if kind not in FAMILIES:
        return None
    from transformers import AutoConfig

    try:
        return FAMILIES[kind].books(AutoConfig.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # transformers checks its fields with errors of several packages
        raise CheckpointError(f"{folder / CONFIG} does not fit {kind}: {error}") from error
