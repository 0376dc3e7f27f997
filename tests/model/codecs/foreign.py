"""Small random codecs of other projects, saved as their projects save them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

SEMANTIC = {"model_type": "wav2vec2-bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SEMANTIC |= {"intermediate_size": 16, "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 3}
STREAM = {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
STREAM |= {"num_key_value_heads": 2, "head_dim": 16, "encoder_hidden_size": 2, "quantization_dim": 48}
STREAM |= {"quantization_levels": [4, 4, 4]}


def save(kind: str, folder: Path) -> Path:
    """Write a random codec of a kind and return its folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "snac":
        _save_snac(folder)
    else:
        MAKERS[kind]().save_pretrained(folder)
    return folder


def _encodec() -> Any:
    from transformers import EncodecConfig, EncodecModel

    # 16 codes of 400 frames per second: 6 kbit/s are 3 of the 4 codebooks.
    sizes = {"num_filters": 2, "hidden_size": 8, "codebook_dim": 8, "codebook_size": 16, "num_lstm_layers": 1}
    rates = {"upsampling_ratios": [5, 4], "sampling_rate": 10000, "target_bandwidths": [2.0, 6.0, 8.0]}
    model = EncodecModel(EncodecConfig(**sizes, **rates))
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_().mul_(0.02)
    return model


def _dac(levels: int = 3) -> Any:
    from transformers import DacConfig, DacModel

    sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "n_codebooks": levels, "codebook_size": 16}
    rates = {"downsampling_ratios": [2, 5], "upsampling_ratios": [5, 2], "sampling_rate": 8000}
    return DacModel(DacConfig(hidden_size=16, codebook_dim=4, **sizes, **rates))


def _mimi() -> Any:
    from transformers import MimiConfig, MimiModel

    sizes = {"hidden_size": 16, "num_filters": 2, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8}
    sizes |= {"codebook_size": 16, "num_quantizers": 4, "num_hidden_layers": 1, "intermediate_size": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "upsample_groups": 16}
    model = MimiModel(MimiConfig(upsampling_ratios=[5, 4], sampling_rate=8000, **sizes, **heads))
    for part in (
        model.quantizer.semantic_residual_vector_quantizer,
        model.quantizer.acoustic_residual_vector_quantizer,
    ):
        for layer in part.layers:
            layer.codebook.embed_sum.normal_().mul_(0.1)
    return model


def _xcodec2() -> Any:
    from transformers import Xcodec2Config, Xcodec2Model

    return _spread(Xcodec2Model(Xcodec2Config(semantic_model_config=SEMANTIC, **STREAM)))


def _neucodec() -> Any:
    from transformers import NeuCodecConfig, NeuCodecModel

    return _spread(NeuCodecModel(NeuCodecConfig(semantic_model_config=SEMANTIC, **STREAM)))


def _spread(model: Any) -> Any:
    """Let the untrained encoder use all codes: its projection is too small to leave the middle one."""
    with torch.no_grad():
        model.fc_encoder.weight.mul_(1000)
        model.quantizer.project_in.weight.mul_(100)
    return model


MAKERS = {"encodec_hf": _encodec, "dac": _dac, "mimi": _mimi, "xcodec2": _xcodec2, "neucodec": _neucodec}
MAKERS["dac of two levels"] = partial(_dac, 2)


def _save_snac(folder: Path) -> None:
    from snac import SNAC

    shape = {"sampling_rate": 8000, "encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 16}
    shape |= {"decoder_rates": [4, 2], "attn_window_size": None, "codebook_size": 16, "codebook_dim": 4}
    shape |= {"vq_strides": [4, 2, 1]}
    (folder / "config.json").write_text(json.dumps(shape))
    torch.save(SNAC(**shape).state_dict(), folder / "pytorch_model.bin")
