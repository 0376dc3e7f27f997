"""Loading a checkpoint: every fault is one message, before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from model.errors import CheckpointError
from model.layouts.checkpoint import load_causal_lm
from model.layouts.spec import LayoutError
from model.layouts.tokenizer import Tokenizer
from tests.model.layouts.families import make_tokenizer

SHAPE = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SHAPE |= {"num_key_value_heads": 1}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny Qwen2 with a tokenizer of the CosyVoice2 layout."""
    make_tokenizer("cosyvoice2", tmp_path, 16)
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(vocab_size=Tokenizer.load(tmp_path).size, **SHAPE)).save_pretrained(tmp_path)
    return tmp_path


def load(folder: Path):
    return load_causal_lm(folder, Tokenizer.load(folder))


def change(folder: Path, **fields) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_good_checkpoint_is_loaded_for_evaluation(folder):
    model = load(folder)
    assert not model.training
    assert model.dtype == torch.float32


def test_more_embeddings_than_tokens_are_padding(folder):
    config = LlamaConfig(vocab_size=512, tie_word_embeddings=True, **SHAPE)
    LlamaForCausalLM(config).save_pretrained(folder)
    assert load(folder).get_input_embeddings().weight.shape[0] == 512


def test_a_checkpoint_of_another_vocabulary_than_its_tokenizer_is_refused(folder):
    LlamaForCausalLM(LlamaConfig(vocab_size=64, **SHAPE)).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"has 64 embeddings, but .*tokenizer.json has ids up to"):
        load(folder)


def test_a_weight_that_is_not_finite_is_named(folder):
    model = load(folder)
    with torch.no_grad():
        model.model.norm.weight[:3] = float("nan")
    model.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"3 of 16 values of model\.norm\.weight are not finite"):
        load(folder)


def test_code_in_the_folder_is_never_run(folder):
    change(folder, model_type="mine", auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"})
    (folder / "modeling_mine.py").write_text("raise SystemExit('the code ran')")
    with pytest.raises(CheckpointError, match=r"needs code from its own folder .*never run here"):
        load(folder)


@pytest.mark.parametrize("kind", ["wav2vec2", "encodec", ""])
def test_a_model_of_another_kind_is_refused(folder, kind):
    change(folder, model_type=kind)
    with pytest.raises(CheckpointError, match=f"model_type '{kind}', which is no causal language model"):
        load(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointError, match=rf"weights as a pickle \({name}\).*take the model's safetensors"):
        load(folder)


def test_no_weights_are_half_a_download(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is half a download: there is neither"):
        load(folder)


def test_missing_shards_are_half_a_download(folder):
    load(folder).save_pretrained(folder, max_shard_size="4KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert load(folder)
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=rf"half a download: 1 of {len(shards)} .*first is {shards[1].name}"):
        load(folder)


def test_a_file_that_ends_early_is_half_a_download(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is half a download, or damaged"):
        load(folder)


def test_a_git_lfs_pointer_is_half_a_download(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(CheckpointError, match="is a git-lfs pointer, half a download"):
        load(folder)


def test_weights_of_another_shape_are_refused(folder):
    change(folder, intermediate_size=32)
    with pytest.raises(CheckpointError, match=r"does not load|do not fit its config\.json"):
        load(folder)


def test_a_missing_weight_is_refused(folder):
    LlamaForCausalLM(LlamaConfig(vocab_size=8192, **SHAPE)).save_pretrained(folder)
    change(folder, num_hidden_layers=2)
    with pytest.raises(CheckpointError, match=r"do not fit its config\.json: .*missing_keys.*layers\.1"):
        load(folder)


def test_an_empty_folder_says_what_is_expected(tmp_path):
    make_tokenizer("cosyvoice2", tmp_path, 16)
    with pytest.raises(CheckpointError, match=r"holds no model: expected config\.json, safetensors weights"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_named(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(LayoutError, match=r"tokenizer\.json is damaged, or made by a newer version"):
        load(folder)


def test_a_missing_tokenizer_says_how_to_make_one(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(LayoutError, match=r"no tokenizer\.json in .*save_pretrained"):
        load(folder)
