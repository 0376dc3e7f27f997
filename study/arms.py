"""``study/params.yaml`` as typed, checked values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.common.params import Params, ParamsError, invalid
from tasks.common.params.overlay import overlay

FILE, RESULTS = Path("study/params.yaml"), Path("study/results")
MAIN = "runs"


class Arm(BaseModel):
    """One comparison: settings changed, and which part of the loop runs again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    group: str
    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]
    pairs: Literal["main", "own"]
    share: Annotated[float, Field(gt=0, le=1)]
    own: Literal["nothing", "sft", "corpus"]
    after: str  # a path, because it is the arm's dependency in study/dvc.yaml
    set: dict[str, Any]

    @model_validator(mode="after")
    def _possible(self):
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) is after last ({self.last})")
        if self.pairs == "main" and (self.first != 1 or self.own != "nothing"):
            raise ValueError("the main loop's pairs fit iteration 1 of the main loop's policy only: set pairs: own")
        if self.share < 1 and self.pairs != "main":
            raise ValueError("share takes a part of the main loop's pairs: set pairs: main")
        if self.after != MAIN and (Path(self.after).parent != RESULTS or self.pairs == "main" or self.own == "corpus"):
            raise ValueError(
                f"after should be {MAIN}, or {RESULTS}/ARM with pairs: own and own: nothing or sft; found {self.after}"
            )
        return self

    @property
    def base(self) -> str | None:
        """The arm it starts from; None: the main loop."""
        return None if self.after == MAIN else Path(self.after).name

    @property
    def method(self) -> str | None:
        """``align.method``, if it is not the main loop's."""
        return self.set.get("align", {}).get("method")


def load(path: Path = FILE) -> dict[str, Arm]:
    """Return every arm by name.

    Raises:
        ParamsError: with one line per problem.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))["arms"]
        return {name: Arm.model_validate(arm) for name, arm in content.items()}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} should hold a block `arms`: {error}") from error
    except ValidationError as error:
        raise invalid(path, error) from error


def merged(arm: Arm, base: dict[str, Any]) -> dict[str, Any]:
    """Return ``params.yaml`` as the arm has it, with a chain of iterations as long as it needs.

    Raises:
        ParamsError: a setting that ``params.yaml`` does not have, or an impossible value.
    """
    changed = copy.deepcopy(base)
    first = next(iter(base["iterations"].values()))
    changed["iterations"] = {
        str(k): {**base["iterations"].get(str(k), first), "prev": str(k - 1)} for k in range(1, arm.last + 1)
    }
    overlay(changed, arm.set, str(FILE))
    try:
        Params.model_validate(changed)
    except ValidationError as error:
        raise ParamsError(f"the arm {arm.title!r} makes params.yaml impossible: {error}") from error
    return changed
