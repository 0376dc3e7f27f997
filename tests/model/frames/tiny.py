"""A tiny random CSM with a tokenizer of its token names, made here."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from transformers import CsmConfig, CsmForConditionalGeneration, MimiConfig, PreTrainedTokenizerFast

from model.layouts.files import layout_file
from model.layouts.layout import Layout
from tests.model.layouts.families import backend

BOOKS, SIZE = 4, 16  # codes of the codec; three more only mark something
TEXT_IDS = 300
TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>")
CHAT = (
    "{% for m in messages %}{{ '<|begin_of_text|>[' + m['role'] + ']' + (m['content'] | selectattr('type', 'equalto', "
    "'text') | map(attribute='text') | first) + '<|end_of_text|>' }}{% if 'audio' in (m['content'] | "
    "map(attribute='type') | list) %}{{ '<|AUDIO|><|audio_eos|>' }}{% endif %}{% endfor %}"
)


def mimi() -> MimiConfig:
    """Return a tiny Mimi with as many codes and books as the tiny CSM; 40 samples per frame."""
    return MimiConfig(
        sampling_rate=1000,
        num_filters=4,
        hidden_size=8,
        vector_quantization_hidden_dimension=8,
        codebook_dim=8,
        codebook_size=SIZE,
        num_quantizers=BOOKS,
        num_semantic_quantizers=1,
        upsampling_ratios=[5, 4],
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=8,
        upsample_groups=8,
    )


def csm(
    seed: int = 0, tied: bool = True, width: int = 16, layers: int = 2, positions: int = 128
) -> CsmForConditionalGeneration:
    """Return a random CSM in evaluation mode."""
    torch.manual_seed(seed)
    tokenizer = backend(TOKENS)
    ids = {name: tokenizer.token_to_id(name) for name in TOKENS}
    shape = {"intermediate_size": 2 * width, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = CsmConfig(
        num_codebooks=BOOKS,
        vocab_size=SIZE + 3,
        text_vocab_size=TEXT_IDS,
        hidden_size=width,
        num_hidden_layers=layers,
        max_position_embeddings=positions,
        bos_token_id=ids["<|begin_of_text|>"],
        eos_token_id=None,
        pad_token_id=ids["<|AUDIO|>"],
        audio_token_id=ids["<|AUDIO|>"],
        audio_eos_token_id=ids["<|audio_eos|>"],
        codebook_pad_token_id=SIZE + 2,
        codebook_eos_token_id=0,
        tie_codebooks_embeddings=tied,
        initializer_range=0.5,  # distributions far from uniform
        depth_decoder_config={
            "num_codebooks": BOOKS,
            "backbone_hidden_size": width,
            "vocab_size": SIZE + 3,
            "hidden_size": width,
            "num_hidden_layers": 1,
            "max_position_embeddings": BOOKS + 1,
            "initializer_range": 0.5,
            **shape,
        },
        codec_config=mimi(),
        **shape,
    )
    model = CsmForConditionalGeneration(config).eval()
    quantizer = model.codec_model.quantizer
    for part in (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer):
        for layer in part.layers:
            layer.codebook.embed_sum.normal_().mul_(0.1)
    return model


def save(model: CsmForConditionalGeneration, folder: Path) -> Path:
    """Write a checkpoint's folder with its tokenizer and chat template."""
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend(TOKENS), bos_token=TOKENS[0], pad_token=TOKENS[2])
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 1000, "feature_size": 1}))
    content = yaml.safe_load(layout_file("csm").read_text())
    content["codec"] = {"kind": "mimi", "sample_rate": 1000, "frame_rate": 25}
    content["codes"] |= {"size": SIZE, "per_slot": SIZE + 3, "slots": list(range(BOOKS))}
    (folder / "layout.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def layout(folder: Path) -> Layout:
    return Layout.load(str(folder / "layout.yaml"), folder)
