"""The key of a listening test, ``key.json``: which sound is which, and which pairs are checks. Raters never get it."""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.common.files import DataError, write_text

NAME = "key.json"
PAGE, SHEET, TOKEN = "vote.html", "sheet.csv", "token"  # other files of a test
SCALES = ("quality", "similarity")
Role = Literal["warm-up", "pair", "identical", "degraded"]
# Names of sounds reveal nothing, and never lead out of the folder.
Sound = Annotated[str, Field(pattern=r"^[0-9]{3,5}-[ABR]\.flac$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Side(_Strict):
    """One of the two sounds of a trial.

    Args:
        system: who made it: a name of ``Key.systems``, or "sample" where the loop's own samples are compared.
        label: which of the system's sounds: the file, or the number of the draw ("golden": the recording).
        details: further columns of the sheet that ``prefer@k`` reads: seed and digest of the tokens.
        degraded: made worse on purpose, for an attention check.
    """

    sound: Sound
    system: str
    label: str
    details: dict[str, str] = {}
    degraded: bool = False


class Trial(_Strict):
    """Two sounds of one text, ``a`` in the file that ends in A; ``reference`` is the voice to be like, if asked."""

    trial: Annotated[str, Field(pattern=r"^[0-9]{3,5}$")]
    role: Role
    id: str
    text: str
    a: Side
    b: Side
    reference: Sound | None = None

    @property
    def sounds(self) -> dict[str, str]:
        """Files by what the page calls them: A, B and, with a reference, R."""
        return {"A": self.a.sound, "B": self.b.sound} | ({"R": self.reference} if self.reference else {})

    @property
    def right(self) -> str | None:
        """Return the answer that an attention check expects; None: it is no check."""
        if self.role == "identical":
            return "tie"
        if self.role == "degraded":
            return "B" if self.a.degraded else "A"
        return None


class Key(_Strict):
    """A listening test. ``systems``: the two that are compared, or none where both sides are one policy's samples."""

    format: Literal[1] = 1
    test: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    systems: list[str]
    iteration: str = ""
    policy: str = ""
    scales: list[Literal["quality", "similarity"]] = []
    trials: list[Trial]

    @model_validator(mode="after")
    def _consistent(self) -> Key:
        numbers = [trial.trial for trial in self.trials]
        if len(set(numbers)) < len(numbers):
            raise ValueError("a trial is there twice")
        if not any(trial.role == "pair" for trial in self.trials):
            raise ValueError("there is no pair to vote on")
        if len(self.systems) not in (0, 2):
            raise ValueError(f"two systems are compared, or none, but {len(self.systems)} are named")
        return self

    @cached_property
    def by_trial(self) -> dict[str, Trial]:
        return {trial.trial: trial for trial in self.trials}

    @cached_property
    def sounds(self) -> set[str]:
        return {file for trial in self.trials for file in trial.sounds.values()}


def digest_of(trials: list[Trial], folder: Path) -> str:
    """Return a name of the test: other pairs or other sounds have another one."""
    found = hashlib.sha256()
    for trial in trials:
        found.update(trial.model_dump_json().encode())
        for file in trial.sounds.values():
            found.update((folder / file).read_bytes())
    return found.hexdigest()[:12]


def write(folder: Path, key: Key) -> None:
    """Write ``key.json``, which only its owner may read."""
    write_text(folder / NAME, key.model_dump_json(indent=1) + "\n")
    (folder / NAME).chmod(0o600)


def read(folder: Path) -> Key:
    """Return the key of a listening test.

    Raises:
        DataError: no listening test, a damaged key, or a sound is missing.
    """
    file = folder / NAME
    if not file.is_file():
        found = (
            f"it has no {NAME}" if folder.is_dir() else "it is a file" if folder.exists() else "there is no such folder"
        )
        raise DataError(
            f"{folder} is no listening test: {found}; `speechalign votes before/ after/ --texts texts.csv` makes "
            "one of two folders of recordings, `speechalign votes export` one of the loop's samples"
        )
    try:
        key = Key.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = re.sub(r"^Value error, ", "", first["msg"])
        raise DataError(
            f"{file} is damaged: {where + ': ' if where else ''}{message}; export the test again"
        ) from error
    if missing := sorted(name for name in key.sounds if not (folder / name).is_file()):
        shown = ", ".join(missing[:5])
        raise DataError(f"{folder} lacks {len(missing)} of its {len(key.sounds)} sounds: {shown}; copy them back")
    return key
