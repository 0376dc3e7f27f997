"""A tiny random Dia with its own tokenizer and a layout for it."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from transformers import DiaConfig, DiaForConditionalGeneration, DiaTokenizer

from model.layouts.files import layout_file

BOOKS, SIZE = 3, 16  # codes of the codec; four more only mark something
DELAYS = (0, 2, 3)


def dia(seed: int = 0, text_positions: int = 128, positions: int = 512, width: int = 16) -> DiaForConditionalGeneration:
    """Return a random Dia in evaluation mode."""
    torch.manual_seed(seed)
    shape = {"num_hidden_layers": 2, "hidden_size": width, "num_attention_heads": 2, "num_key_value_heads": 1}
    shape |= {"head_dim": 8, "intermediate_size": 2 * width}
    encoder = shape | {"num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": text_positions}
    decoder = shape | {"num_channels": BOOKS, "vocab_size": SIZE + 4, "max_position_embeddings": positions}
    decoder |= {"cross_num_attention_heads": 2, "cross_head_dim": 8, "cross_num_key_value_heads": 2}
    decoder |= {"cross_hidden_size": width, "eos_token_id": SIZE, "pad_token_id": SIZE + 1, "bos_token_id": SIZE + 2}
    config = DiaConfig(encoder_config=encoder, decoder_config=decoder, delay_pattern=list(DELAYS))
    model = DiaForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)  # distributions far from uniform
    return model


def save(model: DiaForConditionalGeneration, folder: Path) -> Path:
    """Write a checkpoint's folder; the family has no ``tokenizer.json``."""
    model.save_pretrained(folder)
    DiaTokenizer().save_pretrained(folder)
    content = yaml.safe_load(layout_file("dia").read_text())
    content["codec"] = {"kind": "dac", "sample_rate": 1000, "frame_rate": 25}
    content["codes"] |= {"size": SIZE, "per_slot": SIZE + 4, "slots": list(range(BOOKS))}
    content["stop"] = [f"<|code_{SIZE}|>"]
    (folder / "layout.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder
