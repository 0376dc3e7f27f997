"""What numbers were computed with is written next to them."""

from __future__ import annotations

import json
import platform

import pytest
import torch

from tasks.common import environment, paths
from tasks.common.params import load
from tests.conftest import REPOSITORY


def test_the_machine_the_libraries_and_the_precision_are_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    params = load(REPOSITORY / "params.yaml")
    found = environment.describe(params, torch.device("cpu"))
    assert found["processor"] and found["cores"] >= 1
    assert found["threads"] == torch.get_num_threads()
    assert (found["torch"], found["python"]) == (torch.__version__, platform.python_version())
    assert (found["device"], found["sft_precision"]) == ("cpu", "float32")
    assert json.loads(json.dumps(found)) == found
    assert environment.tags("trained", found)["trained.sft_precision"] == "float32"


@pytest.mark.parametrize(
    ("noted", "named"), [('{"sft_precision": "bf16"}', "bf16"), ("{}", "float32"), ("{", "float32")]
)
def test_the_precision_is_the_one_that_the_policy_was_trained_in(monkeypatch, tmp_path, noted, named):
    monkeypatch.chdir(tmp_path)
    paths.tracking("0").parent.mkdir(parents=True)
    paths.tracking("0").write_text(noted)
    found = environment.describe(load(REPOSITORY / "params.yaml"), torch.device("cpu"))
    assert found["sft_precision"] == named


@pytest.mark.parametrize("facts", ["model name\t: Some CPU @ 2 GHz\nmodel name : x\n", "Hardware : ARM\n"])
def test_a_processor_without_a_name_is_named_by_its_kind(monkeypatch, tmp_path, facts):
    (tmp_path / "cpuinfo").write_text(facts)
    monkeypatch.setattr(environment, "CPU_FACTS", tmp_path / "cpuinfo")
    expected = "Some CPU @ 2 GHz" if "model name" in facts else platform.processor() or platform.machine()
    assert environment.processor() == expected
