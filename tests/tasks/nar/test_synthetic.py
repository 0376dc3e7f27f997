"""The NAR trained on synthetic tokens, and the samples that it and the gap are measured on, with untrained models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from model import nar, policy
from tasks.common import paths, schemas, tracking
from tasks.common.files import read_table, write_json
from tasks.common.scores import first_draws
from tasks.evaluate import __main__ as evaluate
from tasks.nar import synthetic as nar_synthetic
from tests.tasks.register import tiny


@pytest.fixture
def workspace(tmp_path: Path, sqlite: str) -> Path:
    """A small loop that has come as far as ``evaluate_sft``; its train split is its test split once more."""
    settings = tiny.params(tmp_path)
    tiny.write_models(tmp_path)
    tiny.write_recognizer(tmp_path)
    tiny.write_policy(tmp_path, "0", seed=0)
    tiny.write_split(tmp_path, "dev", 4, 0)
    tiny.write_split(tmp_path, "test")
    for path in (paths.codes, paths.cuts):
        shutil.copy(path("test"), path("train"))
    (paths.run("0") / "nar_curve.csv").write_text("step,loss\n1,5.0\n")
    write_json(paths.tracking("0"), tracking.start_loop(settings))
    evaluate.main("0")
    return tmp_path


def switch_on() -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["gap"]["train_synthetic_nar"] = True
    Path("params.yaml").write_text(yaml.safe_dump(content))


def test_evaluation_keeps_the_tokens_that_were_judged(workspace: Path) -> None:
    rows = read_table(paths.codes("test"), schemas.CODES)
    samples = read_table(paths.test_samples("0"), schemas.SAMPLES)
    judged = {row["id"]: row for row in first_draws(read_table(paths.utterances("0"), schemas.UTTERANCES))}
    assert [s["id"] for s in samples] == [row["id"] for row in rows]
    for sample in samples:
        row = judged[sample["id"]]
        assert row["seconds"] == pytest.approx(len(sample["tokens"]) * 40 / tiny.SAMPLE_RATE)
        assert (row["prompt_id"], row["seed"], row["finished"]) == (
            sample["prompt_id"],
            sample["seed"],
            sample["finished"],
        )
        assert sample["policy"] == policy.digest(paths.ar("0"))


def test_switched_off_it_says_so_and_trains_nothing(workspace: Path) -> None:
    nar_synthetic.main()
    assert [p.name for p in paths.SYNTHETIC_NAR.iterdir()] == ["result.json"]
    assert json.loads((paths.SYNTHETIC_NAR / "result.json").read_text()) == {"why": "gap.train_synthetic_nar is off"}


def test_switched_on_it_is_another_nar_judged_on_the_same_samples(workspace: Path) -> None:
    switch_on()
    nar_synthetic.main()
    result = json.loads((paths.SYNTHETIC_NAR / "result.json").read_text())
    assert 0 < result["level1_kept"] < 0.5  # an untrained policy guesses one of 16 codes
    for part in ("scores", "versus_golden_nar"):
        assert set(result[part]) == {"wer", "similarity"}
    trained, golden = nar.load(paths.SYNTHETIC_NAR), nar.load(paths.NAR)
    assert not torch.equal(trained.heads[0].weight[:, :4], golden.heads[0].weight[:, :4])


def test_it_is_deterministic(workspace: Path) -> None:
    switch_on()
    written = []
    for _ in range(2):
        nar_synthetic.main()
        written.append([p.read_bytes() for p in sorted(paths.SYNTHETIC_NAR.iterdir())])
    assert written[0] == written[1]
