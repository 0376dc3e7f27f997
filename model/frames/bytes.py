"""A tokenizer whose ids are bytes of UTF-8, for families that have it as code and not as ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from model.errors import InputError
from model.frames.tokenizer import FrameTokenizer

SPEAKERS = {"[S1]": "\x01", "[S2]": "\x02"}  # names of a dialog's speakers, and the bytes that stand for them


class ByteTokenizer(FrameTokenizer):
    """Bytes of text, and names of codes, whose ids follow."""

    def encode(self, text: str, names: Sequence[str] = ()) -> list[int]:
        for name, byte in SPEAKERS.items():
            text = text.replace(name, byte)
        try:
            return list(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InputError(f"the text {text!r} is no Unicode: {error}; change it") from error


def byte_backend() -> Backend:
    """Return a tokenizer with one id per byte."""
    made = Backend(models.BPE(vocab={name: byte for byte, name in enumerate(_names())}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return made


def _names() -> list[str]:
    """Return what byte-level tokenizers call each byte: printable ones by themselves, the others from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(0x100)]
