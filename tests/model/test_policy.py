import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from model import policy
from model.errors import CheckpointError
from model.layouts.own import write_tokenizer
from model.layouts.spec import LayoutError
from tests.sequences import Own

SHAPE = policy.ArShape(layers=1, width=16, heads=2, max_positions=64)


def test_transformers_loads_the_folder_as_it_finds_it(tmp_path):
    made = policy.build(SHAPE, 8)
    policy.save(made, tmp_path / "ar")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "ar").eval()
    ids = torch.randint(0, Own(8).size, (2, 9))
    assert torch.equal(found(ids).logits, made.model.eval()(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "ar").get_vocab() == made.layout.tokenizer.backend.get_vocab()
    assert policy.load(tmp_path / "ar").layout.spec == made.layout.spec


def test_what_a_family_keeps_in_its_folder_stays_byte_for_byte(tmp_path):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    (tmp_path / "ar/generation_config.json").write_text('{"temperature":   0.6, "do_sample": true}')
    (tmp_path / "ar/chat_template.jinja").write_text("{{ bos_token }}")
    (tmp_path / "ar/tokenizer.json").write_text((tmp_path / "ar/tokenizer.json").read_text() + "\n")
    before = {file.name: file.read_bytes() for file in (tmp_path / "ar").iterdir()}
    policy.save(policy.load(tmp_path / "ar"), tmp_path / "again")
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == before
    policy.save(policy.load(tmp_path / "again"), tmp_path / "again")  # onto itself
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == before


def test_weights_of_another_shape_are_refused(tmp_path):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    config = tmp_path / "ar/config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))
    with pytest.raises(CheckpointError, match="do not fit"):
        policy.load(tmp_path / "ar")


def test_a_tokenizer_of_another_codebook_is_refused(tmp_path):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    write_tokenizer(tmp_path / "ar", 9)
    with pytest.raises(CheckpointError, match="the checkpoint and the tokenizer are of different models"):
        policy.load(tmp_path / "ar")


def test_a_folder_without_a_layout_says_how_to_name_one(tmp_path):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    (tmp_path / "ar/layout.yaml").unlink()
    with pytest.raises(LayoutError, match=r"no layout\.yaml in .*: name the layout of its sequences by policy\.layout"):
        policy.load(tmp_path / "ar")
    assert policy.load(tmp_path / "ar", layout="own").layout.stops == (2,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "should hold named fields, found list"),
        ('{"model_type": "bert"}', "sizes of another model"),
        ('{"model_type": "whisper"}', "no causal language model of one token stream|sizes of another model"),
        ('{"model_type": "llama", "hidden_size": "x"}', "does not load: .*hidden_size"),
    ],
)
def test_a_damaged_configuration_is_refused(tmp_path, content, message):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    (tmp_path / "ar/config.json").write_text(content)
    with pytest.raises(CheckpointError, match="(?s)" + message):
        policy.load(tmp_path / "ar")


def test_truncated_weights_are_refused(tmp_path):
    policy.save(policy.build(SHAPE, 8), tmp_path / "ar")
    weights = tmp_path / "ar/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="half a download, or damaged"):
        policy.load(tmp_path / "ar")


@pytest.mark.parametrize(
    ("parameters", "trained"),
    [("all", None), ("final_norm", ["model.norm.weight"]), ("final_norm_directions", ["model.norm.weight"])],
)
def test_only_the_parameters_asked_for_get_a_gradient(parameters, trained):
    model = policy.build(SHAPE, 8).model
    policy.train_only(model, parameters)
    model(torch.tensor([[1, 2, 3]])).logits.logsumexp(-1).sum().backward()
    found = [name for name, p in model.named_parameters() if p.grad is not None]
    assert found == (trained or [name for name, _ in model.named_parameters()])


def test_a_missing_policy_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model"):
        policy.load(tmp_path)


def test_gains_of_a_fixed_scale_turn_but_do_not_grow():
    model = policy.build(SHAPE, 8).model
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
