"""``study/params.yaml`` as typed, checked values."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.common import yaml12
from tasks.common.params import Params, ParamsError, invalid
from tasks.common.params.overlay import overlay

FILE, RESULTS = Path("study/params.yaml"), Path("study/results")
LOOP = "loop"  # name of the arm that every other one of its seed starts from
NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}", re.ASCII | re.IGNORECASE)  # of an arm: a folder, and a stage of DVC's
Index = Annotated[int, Field(ge=0)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Block):
    """One comparison: settings changed, and which part of the loop runs again."""

    title: str
    group: str
    first: Index = 1
    last: Index = 1
    after: str = LOOP
    shares: Literal["nothing", "data", "start", "samples", "pairs"] = "start"
    sft_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    keep: Literal["all", "erring", "correct"] = "all"
    as_many_pairs: bool = False
    against: str | None = LOOP
    set: dict[str, Any] = {}

    @model_validator(mode="after")
    def _possible(self):
        trains = self.shares in ("nothing", "data")
        if trains != (self.first == 0):
            raise ValueError("first is 0 where the arm makes its own iteration 0 (shares: nothing or data), else above")
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) is after last ({self.last})")
        if self.sft_share < 1 and self.shares != "data":
            raise ValueError("sft_share is of the data that the arm trains its own AR on: set shares: data")
        if (self.keep != "all" or self.as_many_pairs) and (self.shares == "pairs" or self.first != 1):
            raise ValueError("keep and as_many_pairs choose among an arm's own pairs of iteration 1: change shares")
        return self


class Study(_Block):
    """The arms and the seeds that each runs on."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    common: dict[str, Any]
    loop: Arm
    arms: dict[str, Arm]
    one_seed: Annotated[list[int], Field(max_length=1)]
    starts: dict[str, Arm]
    single: dict[str, Arm]
    later: dict[str, Arm]

    @property
    def by_name(self) -> dict[str, Arm]:
        """Every arm by name, in the order of importance."""
        return {LOOP: self.loop, **self.arms, **self.single, **self.starts, **self.later}

    def seeds_of(self, name: str) -> list[int]:
        """Return the seeds that an arm runs on."""
        return self.seeds if name == LOOP or name in self.arms else self.one_seed

    def results(self, name: str, seed: int) -> Path:
        """Return the folder of an arm's results on one seed."""
        return RESULTS / ("starts" if name in self.starts else "") / name / str(seed)

    @model_validator(mode="after")
    def _consistent(self):
        names = [LOOP, *self.arms, *self.single, *self.starts, *self.later]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms have one name: {', '.join(twice)}")
        if not set(self.one_seed) <= set(self.seeds):
            raise ValueError(f"one_seed is {self.one_seed}, but the loops have the seeds {self.seeds}")
        if self.loop.shares != "nothing":
            raise ValueError("the loop makes everything itself: set shares: nothing")
        for name, arm in self.by_name.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"the arm {name!r} names a folder of {RESULTS}: use letters a-z, digits and _")
            if name != LOOP and arm.after not in ({LOOP, *self.starts} if name in self.later else {LOOP}):
                raise ValueError(f"{name} is after {arm.after}, which need not have run by then")
            if arm.against not in (None, *names):
                raise ValueError(f"{name} is compared with {arm.against}, which is no arm")
        return self


def load(path: Path = FILE) -> Study:
    """Read and check the arms.

    Raises:
        ParamsError: with one line per problem.
    """
    try:
        content = yaml12.loads(path.read_text(encoding="utf-8"))
        return Study.model_validate(content)
    except (OSError, yaml12.YAMLError) as error:
        raise ParamsError(f"{path} should hold the study's arms: {error}") from error
    except ValidationError as error:
        raise invalid(path, content, error, Study) from error


def merged(arm: Arm, base: dict[str, Any], common: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return ``params.yaml`` as the arm has it, with a chain of iterations as long as it needs.

    Raises:
        ParamsError: a setting that ``params.yaml`` does not have, or an impossible value.
    """
    changed = copy.deepcopy(base)
    first = next(iter(base["iterations"].values()))
    changed["iterations"] = {
        str(k): {**base["iterations"].get(str(k), first), "prev": str(k - 1)} for k in range(1, max(arm.last, 1) + 1)
    }
    for changes in (common, arm.set, {"seed": seed}):
        overlay(changed, changes, str(FILE))
    try:
        Params.model_validate(changed)
    except ValidationError as error:
        raise ParamsError(f"the arm {arm.title!r} makes params.yaml impossible: {error}") from error
    return changed
