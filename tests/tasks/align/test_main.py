import json
import math
from pathlib import Path

import pytest
import yaml

from model import policy
from tasks.align import __main__ as align
from tasks.align.__main__ import check
from tasks.common import curves, paths, tracking
from tasks.common.files import DataError, write_json
from tasks.common.params import load
from tasks.prefer import __main__ as prefer
from tests.tasks import sampled
from tests.tasks.align.pairs import OWN, pair


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no preference pairs"),
        ([pair(chosen=())], "pair u0 of iteration 1 has an empty side: 0 and 2 codes"),
        ([pair(rejected=())], "has an empty side"),
        ([pair(rejected=(1, 2, 3))], "has two equal sides"),
        ([pair(chosen_logprob=float("nan"))], "expected finite numbers"),
        ([pair(rejected_logprob=None)], "expected finite numbers"),
        ([pair(), pair(1) | {"chosen": [0, 0, 2]}], "pair u1 .* has 2 of 3 chosen tokens .*, the first <pad>"),
        ([pair(rejected_from=2)], "is about rejected tokens from 2 on, of 2"),
        ([pair() | {"rejected": [33, 34]}], "has 1 of 2 rejected tokens .*, the first <c_1>"),  # no stop at the end
        ([pair(rejected_finished=False) | {"rejected": [33, 2]}], "has 1 of 2 rejected tokens .*, the first </s>"),
    ],
)
def test_pairs_that_cannot_teach_are_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        check(pairs, "dpo", OWN.layout)


def test_rpo_refuses_a_side_that_nobody_judged():
    unjudged = pair(3, chosen_wer=float("nan"), source="golden")
    check([unjudged], "dpo", OWN.layout)
    with pytest.raises(DataError, match=r"pair u3 .*source golden.*rpo needs a WER.*own_samples"):
        check([pair(), unjudged], "rpo", OWN.layout)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Iteration 1 with its pairs, of an SFT policy that was trained with dropout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    sampled.write(tmp_path, source="golden")
    config = paths.ar("0") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "attention_dropout": 0.5}))
    write_json(paths.tracking("0"), tracking.start_loop(load()))
    prefer.main("1")
    return tmp_path


def test_dropout_of_sft_takes_no_part_in_aligning(workspace):
    align.main("1")
    first = curves.read(paths.curve("1"))[0]
    assert first["step"] == 1
    assert first["preference_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert policy.load(paths.ar("1")).model.config.attention_dropout == 0.0


def test_what_was_trained_survives_until_it_is_written(workspace, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = policy.digest(paths.ar("1"))
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(policy, "save", full)
        align.main("1")
    assert (paths.STATE / "align@1.pt").is_file() and policy.digest(paths.ar("1")) == before
    monkeypatch.setattr(curves.Curve, "add", None)  # nothing is trained again
    align.main("1")
    assert policy.digest(paths.ar("1")) != before
    assert len(curves.read(paths.curve("1"))) > 0
    assert not (paths.STATE / "align@1.pt").exists()


def test_grpo_samples_renders_and_judges_by_itself(workspace, monkeypatch):
    content = yaml.safe_load(Path("params.yaml").read_text())
    small = {"rollouts": 2, "prompts": 2, "draws": 2}
    content["align"] |= {"method": "grpo", "nll_weight": 0.0, "grpo": {**content["align"]["grpo"], **small}}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr("tasks.align.grpo.wer_of", lambda episode, judged: int(sum(episode.tokens)) % 5)  # ranks babble
    before = policy.digest(paths.ar("0"))
    align.main("1")
    assert policy.digest(paths.ar("1")) != before
    rows = curves.read(paths.curve("1"))
    assert [row["step"] for row in rows] == [1, 2] and all(math.isfinite(row["reward"]) for row in rows)


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_lora_writes_an_ordinary_policy_of_which_the_blocks_have_changed(workspace, monkeypatch, method):
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["align"] |= {"method": method, "parameters": "lora", "nll_weight": 0.0, "lr": 1.0e-2}
    content["align"]["grpo"] |= {"rollouts": 2, "prompts": 2, "draws": 2}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr("tasks.align.grpo.wer_of", lambda episode, judged: int(sum(episode.tokens)) % 5)  # ranks babble
    align.main("1")
    before, after = (policy.load(paths.ar(k)).model.state_dict() for k in ("0", "1"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if "proj.weight" in name}
