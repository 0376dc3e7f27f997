import torch

from model import nar, policy
from model.optimizers import build, hidden_matrices


def test_every_parameter_has_exactly_one_optimizer_and_muon_only_matrices_of_blocks():
    ar = policy.build(policy.ArShape(layers=2, width=16, heads=2), 16).model
    reader = nar.Nar(nar.NarConfig(n_codebooks=3, codebook_size=16, layers=2, width=16))
    for model, outside in ((ar, [ar.lm_head.weight, ar.model.embed_tokens.weight]), (reader, [reader.codes.weight])):
        for name in ("adamw", "muon"):
            groups = [
                p for o in build(name, model, lr=1e-3, weight_decay=0.0) for g in o.param_groups for p in g["params"]
            ]
            assert sorted(map(id, groups)) == sorted(map(id, model.parameters()))
        matrices = hidden_matrices(model)
        assert matrices and all(m.ndim == 2 for m in matrices)
        assert not {id(m) for m in matrices} & {id(p) for p in outside}
    assert not {id(m) for m in hidden_matrices(reader)} & {id(h.weight) for h in reader.heads}


def test_a_frozen_parameter_has_no_optimizer():
    ar = policy.build(policy.ArShape(layers=1, width=16, heads=2), 16).model
    policy.train_only(ar, "final_norm")
    for name in ("adamw", "muon"):
        [only] = build(name, ar, lr=1e-3, weight_decay=0.0)
        assert [id(p) for g in only.param_groups for p in g["params"]] == [id(ar.model.norm.weight)]


def test_a_muon_step_moves_a_block_matrix_in_all_directions_alike():
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.stack = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(16, 16, bias=False))])
    weight = model.stack[0][0].weight
    before = weight.detach().clone()
    # A gradient of one strong and many weak directions: AdamW would follow the strong one.
    u, _, v = torch.linalg.svd(torch.randn(16, 16))
    weight.grad = u @ torch.diag(torch.logspace(0, -2, 16)) @ v
    [muon] = build("muon", model, lr=1e-2, weight_decay=0.0)
    muon.step()
    sizes = torch.linalg.svdvals(weight.detach() - before)
    assert sizes.max() / sizes.min() < 5


def test_parameters_named_in_rates_have_their_own_learning_rate():
    model = torch.nn.Sequential()
    model.body, model.head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    [optimizer] = build("adamw", model, lr=0.1, weight_decay=0.0, rates={"head.": 0.5})
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(p)] for p in model.parameters()] == [0.1, 0.1, 0.5, 0.5]
