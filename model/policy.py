"""A policy: a causal language model that writes codec codes, and the layout of its sequences.

It lies in an ordinary Hugging Face folder, which ``AutoModelForCausalLM``, ``AutoTokenizer`` and vLLM load unchanged.
``layout.yaml`` is what this project adds: how text, voice prompt and codes become tokens (:mod:`model.layouts`).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from model.drawable import Drawable
from model.errors import InputError
from model.frames.adapter import adapter_of
from model.layouts import own
from model.layouts.checkpoint import CONFIG, INDEX, check_files, load_causal_lm
from model.layouts.files import LAYOUT_FILE, write_layout
from model.layouts.layout import NO_VOICE, Layout
from model.layouts.sampled import check_codes_alone, given_starts
from model.layouts.speech import VoicePrompt
from model.sampling import Decoding, Request
from model.writing import disk_errors

KEPT = (".json", ".jinja", ".txt", ".model")  # endings of what a family's folder holds besides weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class ArShape:
    """Size of an AR that is trained here; the defaults give 1.9 M parameters."""

    layers: int = 4
    width: int = 192
    heads: int = 4
    max_positions: int = 1024


@dataclass(frozen=True, eq=False)
class Policy:
    """A model with its layout. ``folder`` is where it came from: its family's other files are kept with it."""

    model: PreTrainedModel
    layout: Layout
    folder: Path | None = None

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def drawable(self) -> Drawable:
        """The tokens that a sample may have; those of silence are in the configuration, where they are known."""
        return replace(self.layout.drawable, silent=frozenset(getattr(self.model.config, "silent_tokens", ())))

    @property
    def positions(self) -> int:
        """The longest sequence that the model takes."""
        from model.forward import position_limit  # transformers, for which who asks nothing need not wait

        return position_limit(self.model)

    def request(self, text: str, voice: VoicePrompt = NO_VOICE, *, decoding: Decoding, seed: int) -> Request:
        """Return what to sample for a text in a voice.

        Raises:
            InputError: a text or voice that the layout cannot write.
        """
        limit = self.layout.most_tokens(text, decoding.max_frames(text))
        return Request(tuple(self.layout.context(text, voice)), limit, seed)

    def room(self, context: Sequence[int], frames: int) -> int:
        """Return how many positions are left after a context and so many frames; below 0: there is no room."""
        adapter = adapter_of(self.model)
        if adapter is not None:
            return adapter.room(context, frames)
        return self.positions - len(context) - frames * len(self.layout.code_tokens.slots)

    def has_room(self, text: str, voice: VoicePrompt = NO_VOICE, *, decoding: Decoding) -> bool:
        """Say whether the longest sample of a text fits the model's positions.

        Raises:
            InputError: a text or voice that the layout cannot write.
        """
        return self.room(self.layout.context(text, voice), decoding.max_frames(text)) >= 0


def build(
    shape: ArShape, codebook_size: int, dropout: float = 0.0, layout: str = "own", characters: str = own.CHARACTERS
) -> Policy:
    """Return an untrained AR of this project: a Llama over characters and level-1 codes.

    Args:
        layout: name or file of a layout for the own tokenizer.
        characters: of its texts.
    """
    resolved = own.build_layout(codebook_size, characters, layout)
    from transformers import LlamaConfig, LlamaForCausalLM  # seconds, which stages without a policy need not wait for

    config = LlamaConfig(
        vocab_size=resolved.tokenizer.size,
        hidden_size=shape.width,
        # SwiGLU has three matrices where a plain MLP has two: 8/3 of the width keeps the usual parameter count.
        intermediate_size=-(-shape.width * 8 // 3 // 64) * 64,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_positions,
        attention_dropout=dropout,
        pad_token_id=own.PAD,
        bos_token_id=own.BOS,
        eos_token_id=own.EOS,
        tie_word_embeddings=False,
    )
    return Policy(LlamaForCausalLM(config), resolved)


def save(policy: Policy, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a Hugging Face folder: safetensors weights, the family's own tokenizer and files, and ``layout.yaml``.

    Args:
        dtype: narrows the file, not the model.
    """
    kept = {} if policy.folder is None else _files_of(policy.folder)  # read first: it may be the same folder
    written = policy.model if dtype is None else copy.deepcopy(policy.model).to(dtype)
    with disk_errors(folder):
        written.save_pretrained(folder, safe_serialization=True)
    if policy.folder is None:
        own.save_tokenizer(policy.layout.tokenizer.backend, folder)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    write_layout(policy.layout.spec, folder / LAYOUT_FILE)


def load(folder: str | Path, device: str | torch.device = "cpu", layout: str | None = None) -> Policy:
    """Load a policy in evaluation mode, from safetensors only; no code of the folder runs.

    Args:
        layout: name or file of the layout; None: the folder's own ``layout.yaml``.

    Raises:
        CheckpointError: no model there, damaged or half downloaded files, weights that do not fit the configuration or
            are not finite.
        LayoutError: no layout or tokenizer, or one that does not fit the other.
    """
    folder = Path(folder)
    check_files(folder)
    resolved = given_starts(Layout.of_policy(folder, layout))
    check_codes_alone(resolved)
    return Policy(load_causal_lm(folder, resolved.tokenizer, device), resolved, folder)


def _files_of(folder: Path) -> dict[str, bytes]:
    """Return a family's tokenizer and other small files, which are kept as they are: no token is added or moved."""
    written = (CONFIG, INDEX, LAYOUT_FILE)
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix in KEPT]
    return {file.name: file.read_bytes() for file in files if file.name not in written}


def without_dropout(model: PreTrainedModel) -> None:
    """Switch off SFT's dropout: the reference log-probabilities were computed without it."""
    if hasattr(model.config, "attention_dropout"):
        model.config.attention_dropout = 0.0
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def train_only(model: PreTrainedModel, parameters: str) -> Callable[[], None] | None:
    """Freeze all but some parameters: ``all`` of them are trained, or the gains of the ``final_norm``.

    ``lora`` trains none of them: :func:`model.lora.adapt` adds what it trains.

    The final norm's gains weigh each direction of the last layer in every token's logits. Growing together, they do
    what a lower sampling temperature does. ``final_norm_directions`` are gains whose scale stays as it is.

    Returns:
        What to call after each optimizer step, to keep the scale of the gains; None where that is free.

    Of a frame-parallel policy only the part that is the policy is trained (:mod:`model.frames.adapter`).

    Raises:
        InputError: a model without a final norm of that kind, or a frame-parallel one with gains alone.
    """
    frames = adapter_of(model)
    if frames is not None:
        if parameters not in ("all", "lora"):
            kind = model.config.model_type
            raise InputError(f"a {kind} is aligned with align.parameters all or lora, found {parameters}")
        frames.train()
        return None
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameters == "all" or name == "model.norm.weight")
    if parameters in ("all", "lora"):
        return None
    gains = dict(model.named_parameters()).get("model.norm.weight")
    if gains is None:
        kind = model.config.model_type
        raise InputError(f"a {kind} has no final norm called model.norm; set align.parameters to all or lora")
    if parameters != "final_norm_directions":
        return None
    weights = model.lm_head.weight.detach().norm(dim=0)  # how much of each direction reaches the logits

    def scale() -> torch.Tensor:
        """Return the logits' root mean square over hidden states of uncorrelated directions, up to a constant."""
        return (gains.detach() * weights).norm()

    wanted = scale()

    @torch.no_grad()
    def keep_scale() -> None:
        gains.mul_(wanted / scale())

    return keep_scale


def best_of_n(model: PreTrainedModel) -> int:
    """Return the number of samples that the reward model in the policy's folder chooses from; 1 without one."""
    return getattr(model.config, "best_of_n", 1)


def forget_best_of_n(model: PreTrainedModel) -> None:
    """Return to one sample per text: a policy aligned from a Best-of-N policy has no reward model of its own."""
    if hasattr(model.config, "best_of_n"):
        del model.config.best_of_n


def digest(folder: str | Path) -> str:
    """Return a short digest of a checkpoint's weights, by which samples and pairs name their policy."""
    found = hashlib.md5(usedforsecurity=False)
    for file in sorted(Path(folder).glob("*.safetensors")) or sorted(Path(folder).glob("*.bin")):
        with file.open("rb") as handle:
            while block := handle.read(1 << 24):
                found.update(block)
    return found.hexdigest()[:12]
