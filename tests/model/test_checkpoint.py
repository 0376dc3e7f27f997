"""One way to keep a model: what is written, and what a reader refuses."""

from dataclasses import asdict, dataclass

import pytest
import torch
from safetensors.torch import save_file

from model import checkpoint
from model.errors import CheckpointError


@dataclass(frozen=True)
class Shape:
    width: int = 3


def small(width: int = 3) -> torch.nn.Module:
    return torch.nn.Linear(width, 2)


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(small(), {"model_type": "small", **asdict(Shape())}, tmp_path / "small")
    return tmp_path / "small"


def load(folder, model_type="small"):
    shape = checkpoint.load_config(folder, "model", model_type, Shape, ["published"])
    return checkpoint.load_weights(small(shape.width), folder)


def test_weights_come_back_in_evaluation_mode_and_as_float32(folder):
    model = small()
    checkpoint.save(model, {"model_type": "small", "width": 3}, folder, torch.float16)
    assert model.weight.dtype == torch.float32
    loaded = load(folder)
    assert not loaded.training and torch.equal(loaded.weight, model.weight.half().float())
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named_with_the_choices(folder, file):
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=r"small holds no model: expected .* published one: published"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "should hold named fields, found list"),
        ("[" * 100_000, "config.json is not JSON"),
        (
            '{"model_type": "small", "width": "x"}',
            "do not fit the model: width should be whole and not negative, found 'x'",
        ),
        ('{"model_type": "small", "width": -1}', "do not fit the model: width"),
        ('{"model_type": "large"}', r"no model's \(its model_type should be small\)"),
        ('{"model_type": "small", "depth": 1}', "do not fit the model"),
        ('{"model_type": "small", "width": 4}', r"small: the weights do not fit its config\.json"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_a_damaged_file_is_refused(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-4], whole[: len(whole) // 2], b"", b"<html>Sign in</html>", b"\xff" * 100):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"small/model\.safetensors is half a download, or damaged"):
            load(folder)
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    with pytest.raises(CheckpointError, match=r"small/model\.safetensors is a git-lfs pointer"):
        load(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(folder, bad):
    model = small()
    with torch.no_grad():
        model.weight[1, 2] = bad
    checkpoint.save(model, {"model_type": "small", "width": 3}, folder)
    with pytest.raises(CheckpointError, match=r"small: 1 of 6 values of weight are not finite"):
        load(folder)


def test_tied_weights_are_looked_at_once_and_a_fault_in_them_is_found(monkeypatch):
    looked = []
    monkeypatch.setattr(
        checkpoint, "all_finite", lambda value: looked.append(value.shape) or bool(value.isfinite().all())
    )
    model = torch.nn.Sequential(torch.nn.Embedding(4, 3), torch.nn.Linear(3, 4))
    model[1].weight = model[0].weight
    assert checkpoint.not_finite(model) == ""
    assert looked == [(4, 3), (4,)]
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    assert checkpoint.not_finite(model) == "1 of 12 values of 0.weight are not finite"


def test_a_saved_buffer_that_is_not_finite_is_refused_by_name(folder):
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
    model[0].running_mean[1] = float("nan")
    checkpoint.save(model, {}, folder)
    with pytest.raises(CheckpointError, match=r"1 of 3 values of 0\.running_mean are not finite"):
        checkpoint.load_weights(torch.nn.Sequential(torch.nn.BatchNorm1d(3)), folder)


def test_a_matrix_of_zeros_is_refused_because_a_broken_download_leaves_them(folder):
    model = small()
    torch.nn.init.zeros_(model.bias)
    checkpoint.save(model, {"model_type": "small", "width": 3}, folder)
    load(folder)  # biases may be
    torch.nn.init.zeros_(model.weight)
    checkpoint.save(model, {"model_type": "small", "width": 3}, folder)
    with pytest.raises(CheckpointError, match=r"small: all values of weight are 0: half a download"):
        load(folder)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.bool])
def test_quantized_weights_are_not_taken_for_numbers(folder, kind):
    save_file({"weight": torch.ones(2, 3).to(kind), "bias": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors has weight as (I8|U8|BOOL), quantized .* F32"):
        load(folder)
