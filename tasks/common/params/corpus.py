"""Blocks of the data: corpus, splits and codec tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from model import spelling
from model.alphabet import CHARACTERS, check_alphabet
from tasks.common.params.block import Above0, AtLeast0, Block, Positive, Share

# texts.sample_file and long_file are dependencies in dvc.yaml, so they name a file that exists even where none is read.
NO_TEXTS = "tasks/texts/none.txt"


class DigitStrings(Block):
    utterances: Positive
    min_words: Positive
    max_words: Positive

    @model_validator(mode="after")
    def _words(self):
        if self.min_words > self.max_words:
            raise ValueError(f"min_words ({self.min_words}) must not be above max_words ({self.max_words})")
        return self


class Synthetic(DigitStrings):
    rate: Annotated[tuple[Positive, Positive], Field(strict=False)]  # YAML writes a tuple as a list
    pitch: Annotated[tuple[int, int], Field(strict=False)]
    voices: list[str] = Field(min_length=1)
    unseen_voices: list[str]

    @model_validator(mode="after")
    def _voices_apart(self):
        if shared := set(self.voices) & set(self.unseen_voices):
            raise ValueError(f"voices both seen and unseen: {sorted(shared)}")
        return self

    @model_validator(mode="after")
    def _ranges(self):
        for name, (low, high) in (("rate", self.rate), ("pitch", self.pitch)):
            if low > high:
                raise ValueError(f"{name} ([{low}, {high}]) must name the lower value first")
        return self


class Prepare(Block):
    corpus: Literal["synthetic", "librispeech", "libritts", "vctk", "ljspeech", "fsdd", "folder"]
    path: str | None
    min_seconds: Above0
    max_seconds: Above0
    max_clipped: Share
    characters_per_second: Annotated[tuple[AtLeast0, Above0], Field(strict=False)]
    unseen_speakers: Annotated[int, Field(ge=0)]
    test_utterances: Positive
    dev_utterances: Positive
    synthetic: Synthetic
    fsdd: DigitStrings

    @model_validator(mode="after")
    def _consistent(self):
        if self.corpus != "synthetic" and not self.path:
            raise ValueError(
                f"prepare.path must say where the {self.corpus} corpus lies (a folder or s3://bucket/prefix)"
            )
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds ({self.min_seconds}) must be below max_seconds ({self.max_seconds})")
        low, high = self.characters_per_second
        if low >= high:
            raise ValueError(f"characters_per_second ([{low}, {high}]) must name the lower value first")
        return self


class Spelling(Block):
    accents: Literal["refuse", "drop"]
    tags: Literal["refuse", "drop"]
    alphabet: Annotated[str, AfterValidator(check_alphabet)] | None

    @property
    def characters(self) -> str:
        """Characters of a policy that is trained here."""
        return self.alphabet or CHARACTERS

    def rules(self) -> spelling.Spelling:
        """Return what :func:`model.spelling.normalize` takes."""
        return spelling.Spelling(**self.chosen())

    def chosen(self) -> dict[str, Any]:
        """Return the settings that are not left at null."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Texts(Block):
    sample: Literal["digits", "corpus", "file"]
    sample_file: str
    sample_words: Annotated[tuple[Positive, Positive], Field(strict=False)]
    sample_pool: Positive
    long: Literal["digits", "file", "none"]
    long_file: str
    long_words: Annotated[tuple[Positive, Positive], Field(strict=False)]
    long_utterances: Annotated[int, Field(ge=2)]  # half of test's have unseen speakers

    @model_validator(mode="after")
    def _words(self):
        for name, (low, high) in (("sample_words", self.sample_words), ("long_words", self.long_words)):
            if low > high:
                raise ValueError(f"{name} ([{low}, {high}]) must name the lower value first")
        return self

    @model_validator(mode="after")
    def _files(self):
        for name, where in (("sample", self.sample_file), ("long", self.long_file)):
            if getattr(self, name) == "file" and where in ("", NO_TEXTS):
                raise ValueError(f"{name} is file, so texts.{name}_file must name a file with one text per line")
        return self


class Extract(Block):
    batch_seconds: Literal["auto"] | Above0
