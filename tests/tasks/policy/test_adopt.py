"""Iteration 0 from a policy that exists: the same models, where they came from, and refusals that write nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from model import nar, policy
from tasks.common import digests, paths, schemas, tracking
from tasks.common.files import read_table, write_table
from tasks.nar import __main__ as sft_nar
from tasks.policy import __main__ as sft_ar
from tests.tasks import sampled
from tests.tasks.register import tiny

START = "start"


@pytest.fixture
def workspace(tmp_path: Path, sqlite: str) -> Path:
    """A folder that has come as far as ``extract``, with a start policy in ``start``."""
    sampled.write(tmp_path)
    for split in ("dev", "test"):
        write_table(paths.codes(split), list(sampled.train_rows().values()), schemas.CODES)
    shutil.copytree(paths.ar("0"), tmp_path / START / "ar")
    shutil.move(paths.NAR, tmp_path / START / "nar")
    shutil.rmtree("runs")
    sampled.start_from(tmp_path, START)
    return tmp_path


def ar_of(codebook: int = tiny.CODEBOOK, positions: int = 512, **config: object) -> policy.Policy:
    torch.manual_seed(0)
    made = policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=positions), codebook)
    for name, value in config.items():
        setattr(made.model.config, name, value)
    return made


def test_iteration_0_is_the_policy_that_was_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sft_ar.main()
    sft_nar.main()
    for loaded, given in (
        (policy.load(paths.ar("0")).model, policy.load(Path(START) / "ar").model),
        (nar.load(paths.NAR), nar.load(Path(START) / "nar")),
    ):
        expected = given.state_dict()
        assert loaded.state_dict().keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert "held-out loss" in capsys.readouterr().out
    assert read_table(paths.pairs("0"), schemas.PAIRS) == []
    assert json.loads(paths.tracking("0").read_text())["sft_precision"] == "adopted"
    assert tracking.read("0")
    for origin, model in ((paths.origin(), paths.ar("0")), (paths.nar_origin(), paths.NAR)):
        found = json.loads(origin.read_text())
        assert found == {
            "start": START,
            "codec": policy.digest("checkpoints/codec"),
            "digest": digests.compute_folder(model),
        }


def test_the_origin_changes_with_the_weights_alone(workspace: Path) -> None:
    sft_ar.main()
    before = paths.origin().read_bytes()
    sft_ar.main()
    assert paths.origin().read_bytes() == before
    ar = policy.load(Path(START) / "ar")
    with torch.no_grad():
        ar.model.lm_head.weight[0, 0] += 1
    policy.save(ar, Path(START) / "ar")
    sft_ar.main()
    assert paths.origin().read_bytes() != before


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: ar_of(codebook=8), "expected 16, found 8 codes per level"),
        (lambda: ar_of(codec="0123456789ab"), r"expected [0-9a-f]{12}, found codec 0123456789ab"),
        (lambda: ar_of(positions=20), "the policy in start has 20; start from one that has more"),
    ],
)
def test_a_policy_that_can_not_be_used_is_refused_before_anything_is_written(
    workspace: Path, capsys: pytest.CaptureFixture[str], made, message: str
) -> None:
    policy.save(made(), Path(START) / "ar")
    with pytest.raises(SystemExit):
        sft_ar.main()
    assert_says(message, capsys)
    assert not Path("runs/0").exists()


def test_a_nar_of_other_levels_is_refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nar.save(nar.Nar(nar.NarConfig(n_codebooks=3, codebook_size=16, layers=1, width=16, heads=2)), Path(START) / "nar")
    with pytest.raises(SystemExit):
        sft_nar.main()
    assert_says("expected 2 levels of 16 codes, found 3 levels of 16 codes", capsys)
    assert not Path("runs/0").exists()


def test_a_folder_that_is_not_there_is_one_message(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampled.start_from(workspace, "nowhere")
    for command, message in ((sft_ar, "name a folder that holds ar/ and nar/"), (sft_nar, "nowhere/nar holds no NAR")):
        with pytest.raises(SystemExit):
            command.main()
        assert_says(message, capsys)


def assert_says(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = capsys.readouterr().err
    assert re.search(message, said), said
