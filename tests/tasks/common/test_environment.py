"""What numbers were computed with is written next to them."""

from __future__ import annotations

import json
import platform

import pytest
import torch

from tasks.common import environment
from tasks.common.params import load
from tests.conftest import REPOSITORY


def test_the_machine_the_libraries_and_the_precision_are_named():
    params = load(REPOSITORY / "params.yaml")
    found = environment.describe(params, torch.device("cpu"))
    assert found["processor"] and found["cores"] >= 1
    assert found["threads"] == torch.get_num_threads()
    assert (found["torch"], found["python"]) == (torch.__version__, platform.python_version())
    assert (found["device"], found["sft_precision"]) == ("cpu", "float32")
    assert json.loads(json.dumps(found)) == found
    assert environment.tags("trained", found)["trained.sft_precision"] == "float32"


@pytest.mark.parametrize("facts", ["model name\t: Some CPU @ 2 GHz\nmodel name : x\n", "Hardware : ARM\n"])
def test_a_processor_without_a_name_is_named_by_its_kind(monkeypatch, tmp_path, facts):
    (tmp_path / "cpuinfo").write_text(facts)
    monkeypatch.setattr(environment, "CPU_FACTS", tmp_path / "cpuinfo")
    expected = "Some CPU @ 2 GHz" if "model name" in facts else platform.processor() or platform.machine()
    assert environment.processor() == expected
