"""Which part of a frame-parallel model is the policy: what is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def train_backbone(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """Freeze the depth decoder, the codec, and the embeddings shared with them; return what remains to be trained."""
    kept = {id(p) for part in (model.depth_decoder, model.codec_model) for p in part.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in kept)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
