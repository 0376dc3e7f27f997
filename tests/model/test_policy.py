import pytest
import torch
from transformers import AutoModelForCausalLM

from model import policy
from model.errors import CheckpointError
from model.tokens import Vocabulary

SHAPE = policy.ArShape(layers=1, width=16, heads=2, max_positions=64)


def test_transformers_loads_the_folder_as_it_finds_it(tmp_path):
    model = policy.build(SHAPE, Vocabulary(8)).eval()
    policy.save(model, tmp_path / "ar")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "ar").eval()
    ids = torch.randint(0, Vocabulary(8).size, (2, 9))
    assert torch.equal(found(ids).logits, model(ids).logits)
    assert policy.vocabulary_of(policy.load(tmp_path / "ar")) == Vocabulary(8)


def test_weights_of_another_shape_are_refused(tmp_path):
    policy.save(policy.build(SHAPE, Vocabulary(8)), tmp_path / "ar")
    config = tmp_path / "ar/config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    with pytest.raises(CheckpointError, match="do not fit"):
        policy.load(tmp_path / "ar")


def test_a_vocabulary_that_does_not_fit_the_codebook_is_refused(tmp_path):
    policy.save(policy.build(SHAPE, Vocabulary(8)), tmp_path / "ar")
    config = tmp_path / "ar/config.json"
    config.write_text(config.read_text().replace('"codebook_size": 8', '"codebook_size": 9'))
    with pytest.raises(CheckpointError, match="do not fit a codebook of 9"):
        policy.load(tmp_path / "ar")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "should hold named fields, found list"),
        ('{"model_type": "gpt2"}', "is no AR policy's"),
        ('{"model_type": "llama"}', "has no codebook_size"),
        ('{"model_type": "llama", "codebook_size": "8"}', "has no codebook_size"),
        ('{"model_type": "llama", "hidden_size": "x"}', "do not fit the AR policy: .*hidden_size"),
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path, content, message):
    policy.save(policy.build(SHAPE, Vocabulary(8)), tmp_path / "ar")
    (tmp_path / "ar/config.json").write_text(content)
    with pytest.raises(CheckpointError, match="(?s)" + message):
        policy.load(tmp_path / "ar")


def test_truncated_weights_are_refused(tmp_path):
    policy.save(policy.build(SHAPE, Vocabulary(8)), tmp_path / "ar")
    weights = tmp_path / "ar/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"the weights in .* do not fit"):
        policy.load(tmp_path / "ar")


@pytest.mark.parametrize(
    ("parameters", "trained"),
    [("all", None), ("final_norm", ["model.norm.weight"]), ("final_norm_directions", ["model.norm.weight"])],
)
def test_only_the_parameters_asked_for_get_a_gradient(parameters, trained):
    model = policy.build(SHAPE, Vocabulary(8))
    policy.train_only(model, parameters)
    model(torch.tensor([[1, 2, 3]])).logits.logsumexp(-1).sum().backward()
    found = [name for name, p in model.named_parameters() if p.grad is not None]
    assert found == (trained or [name for name, _ in model.named_parameters()])


def test_a_missing_policy_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no AR policy in"):
        policy.load(tmp_path)


def test_gains_of_a_fixed_scale_turn_but_do_not_grow():
    model = policy.build(SHAPE, Vocabulary(8))
    keep_scale = policy.train_only(model, "final_norm_directions")
    hidden = torch.randn(20_000, SHAPE.width, generator=torch.Generator().manual_seed(0))

    def spread():  # of the logits of hidden states whose directions are uncorrelated
        return model.lm_head(model.model.norm.weight * hidden).square().mean().sqrt().item()

    before, gains = spread(), model.model.norm.weight
    with torch.no_grad():
        gains.mul_(2.0)
    keep_scale()
    assert torch.allclose(gains, torch.ones(SHAPE.width))  # a temperature is undone altogether
    with torch.no_grad():
        gains[: SHAPE.width // 2].mul_(3.0)
    assert spread() > 1.5 * before
    keep_scale()
    assert spread() == pytest.approx(before, rel=0.02) and (gains[0] / gains[-1]).item() == pytest.approx(3.0)
