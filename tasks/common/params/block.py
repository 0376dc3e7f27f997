"""Base class of the blocks of ``params.yaml``, and types of their values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from model.errors import SpeechAlignError

Positive = Annotated[int, Field(gt=0)]
OnOneMachine = Annotated[int, Field(gt=0, le=1024)]  # threads, processes: more would only exhaust it
Share = Annotated[float, Field(ge=0, le=1)]
Above0 = Annotated[float, Field(gt=0)]
AtLeast0 = Annotated[float, Field(ge=0)]

# Far from these bounds nothing is learned, or drawn, and nothing would say so.
Temperature = Annotated[float, Field(ge=0.01, le=100)]
Rate = Annotated[float, Field(ge=1e-9, le=10)]  # of learning
Beta = Annotated[float, Field(ge=1e-3, le=100)]


class ParamsError(SpeechAlignError):
    """``params.yaml`` is missing, unreadable or holds something impossible."""


class Block(BaseModel):
    # Strict, so that "5e-5" (a string to YAML 1.1) or true for 1 is an error and not a guess.
    # Infinity is what a slip of the pen makes of 1.0e-999, and no setting means it.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
