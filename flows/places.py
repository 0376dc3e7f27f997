"""Where a stage runs: in this folder, or on a work pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flows.graph import Stage
from flows.stage import FAILED, Outcome, repro
from model.errors import SpeechAlignError


class Place(Protocol):
    """Brings one stage up to date."""

    def run(self, stage: str, threads: int, timeout: float | None, show: Callable[[str], None]) -> Outcome: ...


@dataclass(frozen=True)
class Here:
    """This folder. What pools made is fetched first; ``force`` runs a stage that is up to date."""

    fetch: tuple[str, ...] = ()
    force: bool = False

    def run(self, stage: str, threads: int, timeout: float | None, show: Callable[[str], None]) -> Outcome:
        if self.fetch:
            from flows.pools.submit import transfer

            show(f"fetching {', '.join(self.fetch)}")
            try:
                transfer("pull", list(self.fetch))
            except SpeechAlignError as error:
                return Outcome(FAILED, message=str(error))
        return repro(stage, threads, timeout, show, self.force)


def elsewhere(stage: Stage, inputs: Mapping[str, Stage], leaf: bool, force: bool = False) -> Place:
    """Return the stage's work pool as a place.

    Args:
        inputs: outputs of other stages that it reads, with these stages.
        leaf: whether only people read its outputs, so that they are fetched at once.
        force: run it even if it is up to date.
    """
    from flows.pools.submit import Elsewhere

    here = {path: Path(path).exists() for path in inputs}
    wanted = tuple(path for path, maker in inputs.items() if here[path] or maker.pool)
    return Elsewhere(
        stage,
        inputs=wanted,
        own=tuple(path for path in wanted if here[path]),
        makers=tuple(dict.fromkeys(inputs[path].name for path in wanted)),
        shown=stage.outs if leaf else stage.metrics,
        force=force,
    )
