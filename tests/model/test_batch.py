import torch

from model.batch import Batch


def test_tensors_are_found_by_name_and_move_together():
    batch = Batch(ids=("a", "b"), weight=2.0, tokens=torch.ones(2, 3), reference=torch.zeros(2))
    moved = batch.to(torch.device("meta"))
    assert moved.ids == ["a", "b"] and moved.weight == 2.0
    assert [moved[name].device.type for name in ("tokens", "reference")] == ["meta", "meta"]
    assert batch["tokens"].device.type == "cpu"
