import pytest
import torch
from transformers import AutoModelForCausalLM

from model import lora, policy
from model.errors import InputError
from model.fast import chunked
from model.fast.onednn import use_onednn
from model.objectives.logprobs import label_logprobs
from model.sampling import Decoding, Request, sample
from tests.model.causal_models import causal
from tests.sequences import Own

OWN = Own(8)
DRAWABLE = OWN.drawable
SHAPE = policy.ArShape(layers=2, width=32, heads=2)
TOKENS = torch.tensor([[1, 7, 8, 9, 12, 30, 31]])


@pytest.fixture
def ar():
    torch.manual_seed(0)
    return use_onednn(policy.build(SHAPE, 8).model.eval())


def trained(model, steps=3):
    """Adapters that have learned something."""
    lora.adapt(model, rank=4, alpha=8, seed=0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        torch.nn.functional.cross_entropy(model(TOKENS).logits[0, :-1], TOKENS[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_new_adapters_change_nothing_and_are_all_that_learns(ar):
    with torch.no_grad():
        before = ar(TOKENS).logits
        lora.adapt(ar, rank=4, alpha=8, seed=0)
        assert torch.equal(ar(TOKENS).logits, before)
    learning = [name for name, p in ar.named_parameters() if p.requires_grad]
    assert len(learning) == 2 * 7 * SHAPE.layers and all("lora_" in name for name in learning)
    assert not any("lm_head" in name or "embed" in name for name in learning)


def test_adapters_are_a_function_of_the_seed():
    def weights(seed):
        model = policy.build(SHAPE, 8).model
        torch.rand(seed + 1)  # the global generator has no say
        lora.adapt(model, rank=4, alpha=8, seed=seed)
        return torch.cat([p.flatten() for name, p in model.named_parameters() if "lora_A" in name])

    assert torch.equal(weights(3), weights(3)) and not torch.equal(weights(3), weights(4))


def test_a_merged_policy_is_an_ordinary_one_that_computes_the_same(ar, tmp_path):
    names = set(ar.state_dict())
    before = ar.lm_head.weight.clone()
    trained(ar)
    with torch.no_grad():
        expected = ar(TOKENS).logits
    lora.merge(ar)
    assert set(ar.state_dict()) == names and torch.equal(ar.lm_head.weight, before)
    policy.save(policy.Policy(ar, OWN.layout), tmp_path / "ar")
    with torch.no_grad():
        assert torch.allclose(policy.load(tmp_path / "ar").model(TOKENS).logits, expected, atol=1e-5)


def test_sampling_sees_the_adapters_and_leaves_them_bit_for_bit(ar):
    request = [Request((1, 7, 8, 2, 33, 34, 3), 20, seed) for seed in range(8)]
    before = [s.tokens.tolist() for s in sample(ar, request, Decoding(), DRAWABLE, 8)]
    trained(ar, steps=10)
    kept = {name: value.clone() for name, value in ar.state_dict().items()}
    with lora.merged(ar):
        inside = sample(ar, request, Decoding(), DRAWABLE, 8)
    assert [s.tokens.tolist() for s in inside] != before
    assert all(torch.equal(kept[name], value) for name, value in ar.state_dict().items())
    lora.merge(ar)
    after = sample(ar, request, Decoding(), DRAWABLE, 8)
    assert [s.tokens.tolist() for s in after] == [s.tokens.tolist() for s in inside]


def test_weights_are_put_back_after_an_error(ar):
    trained(ar)
    kept = {name: value.clone() for name, value in ar.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), lora.merged(ar):
        raise RuntimeError("stop")
    assert all(torch.equal(kept[name], value) for name, value in ar.state_dict().items())


def test_without_adapters_nothing_happens(ar):
    kept = {name: value.clone() for name, value in ar.state_dict().items()}
    with lora.merged(ar):
        pass
    lora.merge(ar)
    assert all(torch.equal(kept[name], value) for name, value in ar.state_dict().items())


@pytest.mark.parametrize("name", ["qwen2, tied", "llama, grouped heads, llama3 rotary", "phi3"])
def test_any_models_adapters_can_be_switched_off_and_merged_into_an_ordinary_folder(name, tmp_path):
    model = causal(name)
    names, kept = set(model.state_dict()), {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        before = model(TOKENS).logits
    trained(model, steps=5)
    reference = lora.Unadapted(model)
    with torch.no_grad():
        assert torch.equal(reference(input_ids=TOKENS).logits, before)
        after = model(TOKENS).logits
    assert not torch.allclose(after, before, atol=1e-2)
    assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())
    lora.merge(model)
    assert set(model.state_dict()) == names
    assert all(torch.equal(model.state_dict()[name], kept[name]) for name in names if "proj.weight" not in name)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(TOKENS).logits, after, atol=1e-4, rtol=1e-4)


def test_the_reference_is_scored_by_parts_too(monkeypatch):
    monkeypatch.setattr(chunked, "LARGE", 97)
    model, labels = causal("qwen2, tied"), TOKENS.roll(-1)
    expected = label_logprobs(model, TOKENS, labels).detach()
    reference = lora.Unadapted(trained(model, steps=5))
    assert chunked.output_layer(reference) is model.lm_head
    assert torch.equal(label_logprobs(reference, TOKENS, labels), expected)
    assert not torch.allclose(label_logprobs(model, TOKENS, labels), expected, atol=1e-2)


def test_a_model_without_linear_layers_is_refused():
    with pytest.raises(InputError, match="GPT2LMHeadModel has no linear layers in its blocks"):
        lora.adapt(causal("gpt2"), rank=2, alpha=2, seed=0)
