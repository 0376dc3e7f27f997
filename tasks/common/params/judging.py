"""The blocks of what an aligned policy is measured by, and of the gate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tasks.common.params.block import Above0, Block, Positive, Share, Temperature


class Evaluate(Block):
    draws: Positive
    dev_draws: Annotated[int, Field(ge=0)]
    loop_draws: Positive
    temperatures: Annotated[list[Temperature], Field(min_length=1)]
    top_k: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    top_p: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    batch_size: Positive
    bootstrap_samples: Positive
    audio_samples: Annotated[int, Field(ge=0)]


class Gap(Block):
    dimensions: Positive
    reference: Positive
    permutations: Positive
    train_synthetic_nar: bool

    @model_validator(mode="after")
    def _enough(self):
        if self.reference <= self.dimensions:
            raise ValueError(f"reference ({self.reference}) must be above dimensions ({self.dimensions})")
        return self


class Register(Block):
    # As MLflow's registry and the addresses models:/NAME/VERSION and models:/NAME@ALIAS take it.
    model_name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    min_duration_ratio: Above0
    max_duration_ratio: Above0
    max_wer_increase: Share
    max_similarity_decrease: Share
    max_failed_increase: Share
    max_f0_flattening: Share

    @model_validator(mode="after")
    def _bounds(self):
        if self.min_duration_ratio >= self.max_duration_ratio:
            raise ValueError(
                f"min_duration_ratio ({self.min_duration_ratio}) must be below "
                f"max_duration_ratio ({self.max_duration_ratio})"
            )
        return self
