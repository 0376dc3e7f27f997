"""SFT by several processes follows the curve of one process and ends at its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.common import paths, schemas
from tasks.common.curves import Curve
from tasks.common.files import write_table
from tasks.common.params import Params
from tasks.common.tracking.run import Unlogged
from tasks.common.training import state_of
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.nar import training as nar
from tasks.policy import __main__ as policy
from tasks.policy.sequences import Sequences
from tests.conftest import REPOSITORY, merge
from tests.processes import run, weights
from tests.tasks.align.pairs import params

LEVELS, CODES, UTTERANCES = 4, 16, 14


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"g{i}", "speaker": "xy"[i % 2], "text": "abc"[: 1 + i % 3], "seconds": 0.1, "seen": True,
            "codes": rng.integers(0, CODES, (LEVELS, 4 + 3 * (i % 4))).tolist(),
        }
        for i in range(UTTERANCES)
    ]  # fmt: skip
    write_table(paths.codes("train"), rows, schemas.CODES)


def settings(optimizer: str, shard: bool = False) -> Params:
    """Return settings whose steps have one to five utterances, on small models."""
    content = params().model_dump(mode="json", by_alias=True)
    sft = {"epochs": 1, "lr": 1e-2, "weight_decay": 0.1, "optimizer": optimizer}
    changes = {
        "models": {"codec": str(REPOSITORY / "checkpoints/codec")},
        "ar": {"layers": 1, "width": 16, "heads": 2, "max_positions": 128},
        "nar": {"layers": 1, "width": 16},
        "prompt_frames": 5,
        "sft_ar": {**sft, "batch_tokens": 160},
        "sft_nar": {**sft, "batch_frames": 80},
    }
    changes["compute"] = {"shard": shard}
    merge(content, changes)
    return Params.model_validate(content)


def train_ar(p: Params) -> tuple[torch.nn.Module, Curve]:
    start = policy.untrained(p)
    data = Sequences(Voices(Utterances.read("train", levels=1), p.prompt_frames), start.layout)
    return start.model, policy.train(start.model, data, p, torch.device("cpu"), Unlogged())


def train_nar(p: Params) -> tuple[torch.nn.Module, Curve]:
    data = nar.Examples(Utterances.read("train"), p.prompt_frames)
    return nar.train(data, p, torch.device("cpu"), name="sft_nar", command="tasks.nar")


def compared(model: torch.nn.Module) -> np.ndarray:
    """Return the weights without the NAR's biases of keys: a softmax is blind to them, so Adam follows rounding."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("key_value.bias"):
                parameter[: len(parameter) // 2] = 0
    return weights(model)


# Muon computes in bfloat16, where a gradient's last bit may round to another number.
@pytest.mark.parametrize(
    ("optimizer", "shard", "apart"), [("adamw", False, 1e-5), ("adamw", True, 1e-5), ("muon", False, 3e-4)]
)
@pytest.mark.parametrize(("name", "train"), [("sft_ar", train_ar), ("sft_nar", train_nar)])
def test_several_processes_give_the_curve_and_weights_of_one(name, train, optimizer, shard, apart):
    def trained():
        torch.manual_seed(1)
        model, curve = train(settings(optimizer, shard))
        return np.array([[row["loss"], row["accuracy"]] for row in curve.rows]), compared(model)

    expected = trained()
    assert len(expected[0]) > 2
    for count in (2, 4):
        state_of(name).unlink()
        for curve, found in run(count, trained):
            np.testing.assert_allclose(curve, expected[0], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(found, expected[1], rtol=apart, atol=apart)
