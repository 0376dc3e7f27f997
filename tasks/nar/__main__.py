"""Stage ``sft_nar``: the NAR of every iteration, adopted from ``policy.start`` or trained. ``python -m tasks.nar``"""

from __future__ import annotations

from pathlib import Path

import torch
import typer

from model import nar
from model.codecs.facts import codec_facts
from model.errors import InputError
from tasks.common import origin, paths, runtime
from tasks.common.curves import Curve
from tasks.common.files import atomic_path
from tasks.common.launch import part, train_together
from tasks.common.no_nar import write_no_nar
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.start import start_folder, writes_all_levels
from tasks.common.training import state_of
from tasks.common.utterances import Utterances
from tasks.nar.training import Examples, train


def adopt(folder: Path, params: Params, device: torch.device) -> nar.Nar:
    """Load the NAR that ``policy.start`` names.

    Raises:
        CheckpointError: no NAR there, or a damaged one.
        InputError: it has other levels than ``models.codec``.
    """
    model, facts = nar.load(folder, device), codec_facts(params.models.codec)
    found, expected = (f"{of.n_codebooks} levels of {of.codebook_size} codes" for of in (model.config, facts))
    if found != expected:
        raise InputError(
            f"policy.start is {params.policy.start}, whose NAR does not fit models.codec ({params.models.codec}): "
            f"expected {expected}, found {found}; set models.codec to its codec, or policy.start to train"
        )
    return model


@stage
def main() -> None:
    """Adopt the NAR of policy.start, or train one on golden tokens; every iteration uses it as it is."""
    params, device = runtime.start()
    start = start_folder(params, "nar")
    if (start is None or start.parent.is_dir()) and writes_all_levels(params):  # what is missing is named below
        with atomic_path(paths.NAR) as folder:
            write_no_nar(folder)
        origin.write(paths.nar_origin(), paths.NAR, params)
        Curve().write(paths.run("0") / "nar_curve.csv")
        print("sft_nar: none, the policy writes every level of the codec")
        return
    if start:
        model, curve = adopt(start, params, device), Curve()
        print(f"sft_nar: adopted from {start}")
    else:
        train_together(params, device)
        data = Examples(Utterances.read("train"), params.prompt_frames)
        model, curve = train(data, params, device, name="sft_nar", command="tasks.nar")
        part()
    with atomic_path(paths.NAR) as folder:
        nar.save(model, folder)
    origin.write(paths.nar_origin(), paths.NAR, params)
    curve.write(paths.run("0") / "nar_curve.csv")  # no rows, if adopted
    state_of("sft_nar").unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
