"""Choose among an arm's pairs, so that arms compare. ``python -m study.pairs --iteration 1 --number 300``

Arms are compared at equal numbers of pairs, and so of steps. An arm with fewer pairs of its own takes them again from
the beginning: its steps are as many, its distinct pairs fewer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import typer

from tasks.common import paths, runtime, schemas
from tasks.common.files import DataError, read_table, write_table
from tasks.common.stage import stage

Row = dict[str, Any]
Keep = Literal["all", "erring", "correct"]


def chosen(pairs: list[Row], keep: Keep, number: int | None, rng: np.random.Generator) -> list[Row]:
    """Return pairs of the kind asked for, ``number`` of them, in their order.

    Args:
        keep: all; erring: pairs whose rejected side has word errors; correct: those whose rejected side has none.
        number: that are drawn at random. Where there are fewer, all are repeated. None: all, once.

    Raises:
        DataError: there is none of this kind.
    """
    wanted = {"all": (True, False), "erring": (True,), "correct": (False,)}[keep]
    found = [pair for pair in pairs if (pair["rejected_wer"] > 0) in wanted]
    if not found:
        raise DataError(f"of {len(pairs)} pairs none is {keep}: raise sample.prompts")
    if number is None:
        return found
    order = np.concatenate([rng.permutation(len(found)) for _ in range(-(-number // len(found)))])[:number]
    return [found[i] for i in sorted(order)]


@stage
def main(
    iteration: Annotated[str, typer.Option(help="whose pairs to choose among")],
    keep: Annotated[str, typer.Option(help="all, erring or correct: by the rejected side")] = "all",
    number: Annotated[int | None, typer.Option(min=1, help="of pairs; as many as there are by default")] = None,
) -> None:
    """Replace an iteration's pairs by those that an arm of the study trains on."""
    params, _ = runtime.start()
    file = paths.pairs(iteration)
    pairs = read_table(file, schemas.PAIRS)
    kept = chosen(pairs, keep, number, np.random.default_rng([params.seed, *iteration.encode()]))  # type: ignore[arg-type]
    write_table(file, kept, schemas.PAIRS)
    distinct = len({(pair["id"], pair["chosen_seed"], pair["rejected_seed"]) for pair in kept})
    print(f"study.pairs@{iteration}: {len(kept)} pairs, {distinct} distinct, of {len(pairs)} ({keep})")


if __name__ == "__main__":
    typer.run(main)
