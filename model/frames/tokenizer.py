"""The tokenizer of a frame-parallel model: the folder's own, and a name for each code of each book.

The names exist in memory only, the folder's ``tokenizer.json`` stays as it is. So a layout names codes as for any other
model: ``<|code_N|>`` is code ``N % size`` of book ``N // size``.
"""

from __future__ import annotations

import re
from pathlib import Path

from tokenizers import Tokenizer as Backend

from model.errors import CheckpointError
from model.frames.books import Books
from model.frames.families import books_of, family_of, model_type
from model.layouts.tokenizer import TOKENIZER, Tokenizer

NAME = re.compile(r"<\|code_(0|[1-9]\d*)\|>")


class FrameTokenizer(Tokenizer):
    """A tokenizer that also names codes, whose ids follow those of the text."""

    def __init__(self, backend: Backend, where: str, chat_template: str | None, books: Books):
        super().__init__(backend, where, chat_template)
        self.books = books

    @property
    def size(self) -> int:
        return self.books.n_ids

    def check(self, folder: Path) -> None:
        """Refuse a tokenizer whose ids reach into those of the codes, or whose end of speech has no name.

        Raises:
            CheckpointError: the two do not belong together.
        """
        if super().size > self.books.first:
            raise CheckpointError(
                f"{folder} has {self.books.first} embeddings of text, but {self.where} has ids up to "
                f"{super().size - 1}: the checkpoint and the tokenizer are of different models"
            )
        if self.books.end_token < self.books.first and self.backend.id_to_token(self.books.end_token) is None:
            raise CheckpointError(
                f"{folder} ends speech at the token {self.books.end_token}, which {self.where} does not have: the "
                "checkpoint and the tokenizer are of different models"
            )

    def single(self, token: str, purpose: str) -> int:
        found = self.find(token) if NAME.fullmatch(token) else None
        return super().single(token, purpose) if found is None else found

    def find(self, token: str) -> int | None:
        match = NAME.fullmatch(token)
        if match is None:
            return super().find(token)
        number = int(match[1])
        return self.books.first + number if number < self.books.count * self.books.size else None

    def name(self, token_id: int) -> str:
        number = token_id - self.books.first
        return super().name(token_id) if number < 0 else f"<|code_{number}|>"


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Load the tokenizer of a checkpoint's folder, with names of codes where the model is frame-parallel.

    Raises:
        LayoutError: no ``tokenizer.json``, or one that is damaged.
        CheckpointError: a frame-parallel model whose configuration is damaged.
    """
    family = family_of(model_type(Path(folder)))
    if family is None:
        return Tokenizer.load(folder)
    books = books_of(Path(folder))
    assert books is not None
    if family.of_bytes and not (Path(folder) / TOKENIZER).is_file():
        from model.frames.bytes import ByteTokenizer, byte_backend  # which is made of the class here

        return ByteTokenizer(byte_backend(), f"{folder} (of bytes)", None, books)
    plain = Tokenizer.load(folder)
    return FrameTokenizer(plain.backend, plain.where, plain.chat_template, books)
