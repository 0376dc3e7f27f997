"""Device and precision: the same numbers on every CPU."""

from __future__ import annotations

import pytest
import torch

from tasks.common.params import ParamsError
from tasks.common.runtime import device_of, precision_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_cpu_computes_in_float32_whether_or_not_it_has_bf16(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert precision_of("auto", CPU) == "no"  # accelerate's name of float32


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_is_bf16_on_a_gpu_that_computes_it(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert precision_of("auto", CUDA) == expected


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize(("name", "expected"), [("float32", "no"), ("bf16", "bf16"), ("fp16", "fp16")])
def test_a_precision_that_is_named_is_taken(device, name, expected):
    assert precision_of(name, device) == expected


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == CPU
    with pytest.raises(ParamsError, match="set it to auto or cpu"):
        device_of("cuda")
