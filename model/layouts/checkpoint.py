"""Loading a causal language model from a Hugging Face folder, with every fault named before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from model.checkpoint import check_finite, check_whole
from model.checkpoint_size import check_size
from model.config import read
from model.errors import CheckpointError
from model.frames.families import FAMILIES, NO_POLICY, class_of
from model.frames.tokenizer import FrameTokenizer
from model.layouts.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def load_causal_lm(
    folder: str | Path,
    tokenizer: Tokenizer,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode, from safetensors only; no code of the folder runs.

    A frame-parallel model (:mod:`model.frames`) is loaded by its own class.

    Raises:
        CheckpointError: a folder without a model, half a download, pickled weights, a model that needs code of its own,
            weights that do not fit the configuration, a weight that is not finite, or fewer embeddings than tokens.
    """
    from transformers import AutoConfig, AutoModelForCausalLM  # seconds, which what loads no model need not wait for
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(folder)
    check_files(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kind = class_of(config.model_type)
        made = kind or AutoModelForCausalLM.from_config
        check_size(lambda: made(config), [folder / name for name in _weight_files(folder)], folder / CONFIG)
        model, info = (kind or AutoModelForCausalLM).from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except CheckpointError:
        raise
    except Exception as error:  # transformers checks its fields with errors of several packages
        raise CheckpointError(f"{folder}: the model does not load: {error}") from error
    wrong = {k: v for k, v in info.items() if k in ("missing_keys", "unexpected_keys", "mismatched_keys") and v}
    if wrong:
        firsts = {kind: sorted(map(str, names))[0] for kind, names in wrong.items()}
        said = "; ".join(f"{len(wrong[kind])} {kind}, the first is {first}" for kind, first in firsts.items())
        raise CheckpointError(f"{folder}: the weights do not fit its {CONFIG}: {said}")
    check_vocabulary(model, tokenizer, folder)
    check_finite(model, folder)
    return model.eval().to(device)


def check_files(folder: Path) -> None:
    """Refuse a folder whose files are not a complete causal language model in safetensors.

    Raises:
        CheckpointError: see :func:`load_causal_lm`.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} holds no model: expected {CONFIG}, safetensors weights and tokenizer.json")
    kind = _model_type(folder)
    names = _weight_files(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} is half a download: {len(missing)} of {len(names)} weight files are missing, the first is "
            f"{missing[0]}; download the model again"
        )
    for name in names:
        check_whole(folder / name)
    if kind in NO_POLICY:
        raise CheckpointError(f"{folder} is a {kind}, which is no policy to align: {NO_POLICY[kind]}")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and class_of(kind) is None:
        raise CheckpointError(
            f"{folder}/{CONFIG} has model_type {kind!r}, which is no causal language model of one token stream; "
            "expected one that AutoModelForCausalLM knows, such as llama, qwen2 or qwen3, or a frame-parallel one "
            f"({', '.join(FAMILIES)})"
        )


def check_vocabulary(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a model with fewer embeddings than its tokenizer has ids; more are padding.

    Raises:
        CheckpointError: the two do not belong together.
    """
    if isinstance(tokenizer, FrameTokenizer):
        tokenizer.check(folder)
        return
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < tokenizer.size:
        raise CheckpointError(
            f"{folder} has {rows} embeddings, but {tokenizer.where} has ids up to {tokenizer.size - 1}: the checkpoint "
            "and the tokenizer are of different models"
        )


def _model_type(folder: Path) -> str:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    fields: dict[str, Any] = read(folder / CONFIG)
    kind = str(fields.get("model_type", ""))
    if "auto_map" in fields and kind not in CONFIG_MAPPING:
        raise CheckpointError(
            f"{folder}/{CONFIG} needs code from its own folder (auto_map, trust_remote_code), which is never run here; "
            "convert the checkpoint to a class of transformers"
        )
    return kind


def _weight_files(folder: Path) -> list[str]:
    if (folder / INDEX).is_file():
        places = read(folder / INDEX).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise CheckpointError(f"{folder}/{INDEX} should name the file of each weight under weight_map")
        return sorted({str(name) for name in places.values()})
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if pickled := sorted(path.name for path in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]):
        raise CheckpointError(
            f"{folder} has its weights as a pickle ({pickled[0]}), which could run code and is never loaded; take the "
            "model's safetensors, or convert it where you trust it: AutoModelForCausalLM.from_pretrained(…)"
            ".save_pretrained(FOLDER)"
        )
    raise CheckpointError(f"{folder} is half a download: there is neither {WEIGHTS} nor {INDEX}")
