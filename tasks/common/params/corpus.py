"""Blocks of the data: corpus, splits and codec tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.common.params.block import Above0, Block, Positive, Share


def _check_words(fewest: int, most: int) -> None:
    if fewest > most:
        raise ValueError(f"min_words ({fewest}) must not be above max_words ({most})")


class Synthetic(Block):
    utterances: Positive
    min_words: Positive
    max_words: Positive
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
        _check_words(self.min_words, self.max_words)
        for name, (low, high) in (("rate", self.rate), ("pitch", self.pitch)):
            if low > high:
                raise ValueError(f"{name} ([{low}, {high}]) must name the lower value first")
        return self


class Fsdd(Block):
    min_words: Positive
    max_words: Positive
    utterances: Positive

    @model_validator(mode="after")
    def _ranges(self):
        _check_words(self.min_words, self.max_words)
        return self


class Prepare(Block):
    corpus: Literal["synthetic", "librispeech", "libritts", "vctk", "ljspeech", "fsdd", "folder"]
    path: str | None
    min_seconds: Above0
    max_seconds: Above0
    max_clipped: Share
    unseen_speakers: Annotated[int, Field(ge=0)]
    test_utterances: Positive
    dev_utterances: Positive
    synthetic: Synthetic
    fsdd: Fsdd

    @model_validator(mode="after")
    def _consistent(self):
        if self.corpus != "synthetic" and not self.path:
            raise ValueError(
                f"prepare.path must say where the {self.corpus} corpus lies (a folder or s3://bucket/prefix)"
            )
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds ({self.min_seconds}) must be below max_seconds ({self.max_seconds})")
        return self


class Extract(Block):
    batch_seconds: Above0
