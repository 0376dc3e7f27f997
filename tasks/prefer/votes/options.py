"""Options of the commands that make listening tests, written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

Host = Annotated[str, typer.Option(help="address to serve on; any but loopback needs the token in the printed link")]
Port = Annotated[int, typer.Option(help="port to serve on", min=1, max=65535)]
PerRater = Annotated[int | None, typer.Option(help="pairs for each rater; by default all of them", min=1)]
Stop = Annotated[bool, typer.Option(help="end the test for all raters once the stopping rule has decided")]


class Scale(StrEnum):
    """What raters score from 1 to 5, in addition to their preference."""

    quality = "quality"
    similarity = "similarity"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every listening test is made and served with."""

    pairs: Annotated[int, typer.Option(help="pairs of sounds, one per text", min=1, max=2000)] = 50
    warm_up: Annotated[int, typer.Option(help="practice pairs, which do not count", min=0, max=20)] = 2
    checks: Annotated[
        int, typer.Option(help="attention checks: noise on one side, and one sound twice", min=0, max=40)
    ] = 4
    scale: Annotated[
        list[Scale] | None, typer.Option(help="also ask for quality (QMOS) or similarity to the voice prompt (SMOS)")
    ] = None
    seed: Annotated[int, typer.Option(help="another seed draws other pairs and another order", min=0)] = 0
    serve: Annotated[bool, typer.Option("--serve", help="serve it at once, as `speechalign votes serve` does")] = False
    host: Host = "127.0.0.1"
    port: Port = 8040
    per_rater: PerRater = None
    stop: Stop = True

    @property
    def scales(self) -> list[str]:
        """The scales that are asked for, always in the same order."""
        return [scale.value for scale in Scale if scale in (self.scale or [])]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of :class:`Options` as options of its own; it gets them as ``options``."""
    own = inspect.signature(command, eval_str=True)
    shared = inspect.signature(Options, eval_str=True).parameters

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:
        options = {name: given.pop(name) for name in shared if name in given}
        command(*args, **given, options=Options(**options))

    parameters = [*(p for p in own.parameters.values() if p.name != "options"), *shared.values()]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
