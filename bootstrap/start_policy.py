"""The start policy as a loop has trained it: halved for shipping, checked and measured.

A loop's folder holds ``params.yaml``, ``runs/0`` and ``data/codes`` (:mod:`bootstrap.train_policy` makes one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from model import nar, policy
from model.errors import InputError
from tasks.common import paths, schemas, yaml12
from tasks.common.files import open_table
from tasks.common.origin import codec_name
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.policy.sequences import Sequences, held_out_loss

MAX_CHANGE = 0.002  # by halving: nats per token of the AR, and the share of codes that the NAR finds
CAPACITY = 4096  # positions in one forward pass
KINDS = ("seen", "unseen")


@dataclass(frozen=True)
class StartPolicy:
    """AR and NAR of a folder."""

    ar: policy.Policy
    nar: nar.Nar

    @classmethod
    def of(cls, folder: Path) -> StartPolicy:
        """Load ``folder/ar`` and ``folder/nar`` in evaluation mode."""
        return cls(policy.load(folder / "ar"), nar.load(folder / "nar"))

    @classmethod
    def of_loop(cls, loop: Path) -> StartPolicy:
        """Load those of iteration 0."""
        return cls(policy.load(loop / paths.ar("0")), nar.load(loop / paths.NAR))


def settings(loop: Path) -> dict[str, Any]:
    """Return the ``params.yaml`` that the loop was trained with, which may be of an earlier version."""
    return yaml12.loads((loop / "params.yaml").read_text(encoding="utf-8"))


def halve(loop: Path, out: Path, codec: Path) -> None:
    """Write ``out/ar`` and ``out/nar`` in half precision.

    Args:
        codec: the one that is shipped.

    Raises:
        InputError: the loop's codec is another one.
    """
    own = loop / settings(loop)["models"]["codec"]
    if codec_name(str(own)) != codec_name(str(codec)):
        raise InputError(
            f"the policy in {loop} writes tokens of {own}, which is not the codec to ship ({codec}): expected the same "
            "weights; export the codec first and train the policy on it"
        )
    start = StartPolicy.of_loop(loop)
    start.ar.model.config.codec = codec_name(str(codec))
    out.mkdir(parents=True)
    policy.save(start.ar, out / "ar", torch.float16)
    nar.save(start.nar, out / "nar", torch.float16)


def check_halved(full: Mapping[str, Any], halved: Mapping[str, Any]) -> str:
    """Check that halving changed no measurement; return a line that says how little.

    Raises:
        InputError: it did.
    """
    change = max(
        float(np.abs(np.subtract(full[name][kind], halved[name][kind])).max())
        for name in ("loss", "found")
        for kind in full[name]
    )
    if change > MAX_CHANGE:
        raise InputError(
            f"in half precision the policy's held-out loss or codes change by {change:.4f}: export it in float32"
        )
    return f"the policy's held-out loss and codes change by {change:.5f} at most"


def measure(start: StartPolicy, loop: Path) -> dict[str, Any]:
    """Return sizes, and by kind of voice the loss and the found codes (a share per level) on the loop's test set."""
    params = settings(loop)
    prompt_frames, seed = params["prompt_frames"], params["seed"]
    with open_table(loop / paths.codes("test"), schemas.CODES) as file:
        test_table = file.read()
    loss: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    for kind in KINDS:
        golden = Utterances(test_table.filter(pc.equal(test_table["seen"], kind == "seen")).to_batches())
        sequences = Sequences(Voices(golden, prompt_frames), start.ar.layout)
        loss[kind] = held_out_loss(start.ar.model, sequences, CAPACITY, seed)
        codes = completed(start.nar, golden, prompt_frames, seed)
        same = torch.cat([(all_levels == golden.codes(i))[1:] for i, all_levels in enumerate(codes)], dim=1)
        found[kind] = same.double().mean(dim=1).tolist()
    return {
        "sizes": {
            "ar_parameters": sum(p.numel() for p in start.ar.model.parameters()) / 1e6,
            "nar_parameters": sum(p.numel() for p in start.nar.parameters()) / 1e6,
            "positions": start.ar.positions,
            "test_utterances": len(test_table),
        },
        "loss": loss,
        "found": found,
    }


def completed(model: nar.Nar, golden: Utterances, prompt_frames: int, seed: int) -> list[torch.Tensor]:
    """Return all levels ``(levels, frames)`` from each utterance's golden level 1 and its fixed voice prompt."""
    level1 = [torch.from_numpy(golden.level1(i).astype(np.int64)) for i in range(len(golden))]
    prompts = [golden.codes(golden.fixed(i, seed))[:, :prompt_frames] for i in range(len(golden))]
    return nar.complete(model, level1, prompts)
