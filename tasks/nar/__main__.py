"""Stage ``sft_nar``: training of the NAR on golden tokens. ``python -m tasks.nar``"""

from __future__ import annotations

import typer

from model import nar
from tasks.common import paths, runtime
from tasks.common.files import atomic_path
from tasks.common.stage import stage
from tasks.common.training import state_of
from tasks.common.utterances import Utterances
from tasks.nar.training import Examples, train


@stage
def main() -> None:
    """Train the NAR on golden tokens; every iteration uses it as it is."""
    params, device = runtime.start()
    data = Examples(Utterances.read("train"), params.prompt_frames)
    model, curve = train(data, params, device, name="sft_nar", command="tasks.nar")
    with atomic_path(paths.NAR) as folder:
        nar.save(model, folder)
    curve.write(paths.run("0") / "nar_curve.csv")
    state_of("sft_nar").unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
