"""The blocks of what is loaded or trained before alignment, and where it runs."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.common.params.block import AtLeast0, Block, OnOneMachine, Positive, Rate, Share

TRAIN = "train"  # policy.start: no folder, train AR and NAR here
# Published names of one file, from whisper's own table: importing the package here would load torch for every command.
SAME_WHISPER = {"large": "large-v3", "turbo": "large-v3-turbo"}


def _spelled_out(value: object) -> object:
    """Return ``float32`` for ``no``, accelerate's name of it, which YAML reads as false."""
    return "float32" if value is False or value == "no" else value


class Compute(Block):
    device: Literal["auto", "cpu", "cuda"]
    precision: Annotated[Literal["auto", "float32", "bf16", "fp16"], BeforeValidator(_spelled_out)]
    threads: OnOneMachine
    processes: Literal["auto"] | OnOneMachine
    shard: bool = False
    pools: dict[str, str | None] = Field(default={})  # stage -> Prefect work pool that runs it; flows/ reads them
    engine: Literal["local", "processes", "ray"]
    workers: Literal["auto"] | Positive
    address: str | None

    @model_validator(mode="after")
    def _address(self):
        if self.address is not None and self.engine != "ray":
            raise ValueError(f"address is a Ray cluster's, but engine is {self.engine}; set engine: ray, or no address")
        return self

    @model_validator(mode="after")
    def _unscaled(self):
        if self.shard and self.precision == "fp16":
            raise ValueError("shard splits the gradients, which precision fp16 scales; take bf16 or float32")
        return self


class Models(Block):
    codec: str
    recognizer: str
    held_out_recognizer: str | None
    held_out_speaker: Literal["timbre"] | None

    @model_validator(mode="after")
    def _held_out(self):
        if self.held_out_recognizer is None:
            return self
        held_out, chooses = (
            os.path.realpath(SAME_WHISPER.get(name, name)) for name in (self.held_out_recognizer, self.recognizer)
        )
        if held_out == chooses:
            raise ValueError(
                f"held_out_recognizer ({self.held_out_recognizer}) is the same as recognizer ({self.recognizer}), "
                "which chooses the pairs; name another one, or null"
            )
        return self


class Policy(Block):
    start: Annotated[
        str, Field(min_length=1)
    ]  # a Hugging Face folder, ORG/NAME on the Hub, a folder with ar/ and nar/, or TRAIN
    layout: Annotated[str, Field(min_length=1)] | None
    voice: Literal["audio", "speaker", "none"]


class Ar(Block):
    layers: Positive
    width: Positive
    heads: Positive
    max_positions: Positive

    @model_validator(mode="after")
    def _divisible(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width ({self.width}) must be a multiple of twice the heads ({self.heads})")
        return self


class Nar(Block):
    layers: Positive
    width: Positive


class SftAr(Block):
    epochs: Positive
    batch_tokens: Positive
    optimizer: Literal["adamw", "muon"]
    lr: Rate
    warmup: Share
    weight_decay: AtLeast0
    dropout: Share
    prompt_loss: bool


class SftNar(Block):
    epochs: Positive
    batch_frames: Positive
    optimizer: Literal["adamw", "muon"]
    lr: Rate
    warmup: Share
    weight_decay: AtLeast0
