"""The AR policy: a Llama-architecture causal LM that writes level-1 codes.

It is a plain ``transformers.LlamaForCausalLM`` in a Hugging Face folder, which ``AutoModelForCausalLM`` and vLLM load
unchanged. Its ``config.json`` also holds the codebook size of :mod:`model.tokens`. Chain of Hindsight adds the text
prefix that asks for good speech, and Best-of-N the number of samples to choose from.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from model import checkpoint
from model.errors import CheckpointError
from model.tokens import BOS, EOS, PAD, Vocabulary

transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class ArShape:
    """Size of an AR; the defaults give 1.9 M parameters."""

    layers: int = 4
    width: int = 192
    heads: int = 4
    max_positions: int = 1024


def build(shape: ArShape, vocabulary: Vocabulary, dropout: float = 0.0) -> LlamaForCausalLM:
    """Return an untrained AR."""
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.width,
        # SwiGLU has three matrices where a plain MLP has two: 8/3 of the width keeps the usual parameter count.
        intermediate_size=-(-shape.width * 8 // 3 // 64) * 64,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_positions,
        attention_dropout=dropout,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        tie_word_embeddings=False,
    )
    config.codebook_size = vocabulary.codebook_size
    return LlamaForCausalLM(config)


def save(model: LlamaForCausalLM, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a Hugging Face folder with safetensors weights; ``dtype`` narrows the file, not the model."""
    written = model if dtype is None else copy.deepcopy(model).to(dtype)
    written.save_pretrained(folder, safe_serialization=True)


def load(folder: str | Path, device: str | torch.device = "cpu") -> LlamaForCausalLM:
    """Load an AR in evaluation mode, from safetensors only.

    Raises:
        CheckpointError: no policy there, damaged files, weights that do not fit the configuration or are not finite, or
            no codebook size in it.
    """
    folder = Path(folder)
    config = checkpoint.load_config(folder, "AR policy", "llama", lambda **_: LlamaConfig.from_pretrained(folder))
    if not isinstance(getattr(config, "codebook_size", None), int):
        raise CheckpointError(f"{folder}/config.json has no codebook_size: it is not a policy of this project")
    if Vocabulary(config.codebook_size).size != config.vocab_size:
        raise CheckpointError(
            f"{folder}/config.json: {config.vocab_size} tokens do not fit a codebook of {config.codebook_size} "
            f"(expected {Vocabulary(config.codebook_size).size})"
        )
    try:
        model, info = LlamaForCausalLM.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"the weights in {folder} do not fit its config.json: {error}") from error
    wrong = {k: v for k, v in info.items() if k in ("missing_keys", "unexpected_keys", "mismatched_keys") and v}
    if wrong:
        raise CheckpointError(f"the weights in {folder} do not fit its config.json: {wrong}")
    checkpoint.check_finite(model, folder)
    return model.eval().to(device)


def without_dropout(model: LlamaForCausalLM) -> None:
    """Switch off SFT's dropout: the reference log-probabilities were computed without it."""
    model.config.attention_dropout = 0.0
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.0


def train_only(model: LlamaForCausalLM, parameters: str) -> Callable[[], None]:
    """Freeze all but some parameters: ``all`` of them are trained, or the gains of the ``final_norm``.

    ``lora`` trains none of them: :func:`model.lora.adapt` adds what it trains.

    The final norm's gains weigh each direction of the last layer in every token's logits. Growing together, they do
    what a lower sampling temperature does. ``final_norm_directions`` are gains whose scale stays as it is.

    Returns:
        What to call after each optimizer step, to keep the scale of the gains. Otherwise it does nothing.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameters == "all" or name == "model.norm.weight")
    if parameters != "final_norm_directions":
        return lambda: None
    gains = model.model.norm.weight
    weights = model.lm_head.weight.detach().norm(dim=0)  # how much of each direction reaches the logits

    def scale() -> torch.Tensor:
        """Return the logits' root mean square over hidden states of uncorrelated directions, up to a constant."""
        return (gains.detach() * weights).norm()

    wanted = scale()

    @torch.no_grad()
    def keep_scale() -> None:
        gains.mul_(wanted / scale())

    return keep_scale


def vocabulary_of(model: LlamaForCausalLM) -> Vocabulary:
    """Return the policy's own sequence layout, with its text prefix."""
    return Vocabulary(model.config.codebook_size, getattr(model.config, "text_prefix", ""))


def best_of_n(model: LlamaForCausalLM) -> int:
    """Return the number of samples that the reward model in the policy's folder chooses from; 1 without one."""
    return getattr(model.config, "best_of_n", 1)


def forget_best_of_n(model: LlamaForCausalLM) -> None:
    """Return to one sample per text: a policy aligned from a Best-of-N policy has no reward model of its own."""
    if hasattr(model.config, "best_of_n"):
        del model.config.best_of_n


def digest(folder: str | Path) -> str:
    """Return a short digest of a checkpoint's weights, by which samples and pairs name their policy."""
    return hashlib.md5((Path(folder) / "model.safetensors").read_bytes()).hexdigest()[:12]
