"""The NAR model: codebook levels 2 and up from level 1 and a voice prompt.

It works level by level and in parallel over time, like VALL-E's NAR (arXiv 2301.02111, section 4.2.2). The input of
level ``l`` is the sum of the embeddings of the levels below; the voice is a prompt of frames with all levels.
Neighboring frames decide most of a residual code. The blocks are therefore depthwise convolutions (ConvNeXt, arXiv
2201.03545), which learn this at once; plain attention needs minutes to find its neighbors. Each block also attends to
the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from model import checkpoint

MODEL_TYPE = "speechalign-nar"
CPU_ROWS = 16  # completed at once on a CPU: activations of more leave its cache, which costs 40 % of the time
LENGTHS = 8  # frames: each batch is padded to a multiple, so that few shapes are compiled and little is padding


@dataclass(frozen=True)
class NarConfig:
    """Shape of a NAR."""

    n_codebooks: int = 4
    codebook_size: int = 256
    layers: int = 6
    width: int = 192
    heads: int = 4
    kernel: int = 7

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width should be a multiple of heads, found {self.width} and {self.heads}")


PromptState = tuple[list[torch.Tensor], torch.Tensor]  # returned by Nar.encode_prompt


class _Block(nn.Module):
    """Depthwise convolution over time, attention to the prompt and an MLP, each with a residual."""

    def __init__(self, config: NarConfig, attends: bool):
        super().__init__()
        width = config.width
        self.conv = nn.Conv1d(width, width, config.kernel, padding=config.kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.heads = config.heads
        self.attends = attends
        if attends:
            self.norm_attention = nn.LayerNorm(width)
            self.query = nn.Linear(width, width)
            self.key_value = nn.Linear(width, 2 * width)
            self.out = nn.Linear(width, width)

    def forward(self, x, mask, key_value=None, prompt_mask=None):
        """Return ``x (batch, frames, width)`` transformed; ``mask (batch, frames, 1)`` is 1 where there is a frame."""
        if self.attends:
            batch, frames, width = x.shape
            split = (batch, -1, self.heads, width // self.heads)
            q = self.query(self.norm_attention(x)).view(split).transpose(1, 2)
            k, v = (t.reshape(split).transpose(1, 2) for t in key_value.chunk(2, dim=-1))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=prompt_mask[:, None, None])
            x = x + self.out(attended.transpose(1, 2).reshape(batch, frames, width))
        h = self.conv((x * mask).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp(self.norm(h))


class Nar(nn.Module):
    """Predicts one level's codes from the levels below it and a voice prompt."""

    def __init__(self, config: NarConfig):
        super().__init__()
        self.config = config
        # One table with its own rows for every level.
        self.codes = nn.Embedding(config.n_codebooks * config.codebook_size, config.width)
        nn.init.normal_(self.codes.weight, std=0.5)
        self.level = nn.Embedding(config.n_codebooks, config.width)
        self.prompt_encoder = nn.ModuleList(_Block(config, attends=False) for _ in range(2))
        self.prompt_norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(_Block(config, attends=True) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.heads = nn.ModuleList(nn.Linear(config.width, config.codebook_size) for _ in range(config.n_codebooks - 1))

    def _embed(self, codes: torch.Tensor) -> torch.Tensor:
        """Return embeddings ``(batch, frames, width)`` of ``codes (batch, levels, frames)``, summed over levels."""
        offsets = torch.arange(codes.shape[1], device=codes.device)[:, None] * self.config.codebook_size
        return self.codes(codes + offsets).sum(dim=1)

    def forward(
        self,
        codes: torch.Tensor,
        lengths: torch.Tensor,
        prompt: torch.Tensor,
        prompt_lengths: torch.Tensor,
        level: int,
    ) -> torch.Tensor:
        """Return logits ``(batch, frames, codebook_size)`` of level index ``level`` (1 is the second level).

        Args:
            codes: int64 ``(batch, level, frames)``, the levels below.
            lengths: real frames per row; the rest is padding and changes nothing.
            prompt: int64 ``(batch, n_codebooks, prompt frames)``.
            prompt_lengths: real frames of each prompt.
        """
        return self.heads[level - 1](self.states(codes, lengths, self.encode_prompt(prompt, prompt_lengths), level))

    def encode_prompt(self, prompt: torch.Tensor, prompt_lengths: torch.Tensor) -> PromptState:
        """Return the voice prompt as every level uses it: each block's keys and values, and a mask of real frames."""
        visible = torch.arange(prompt.shape[-1], device=prompt.device) < prompt_lengths[:, None]
        voice = self._embed(prompt)
        for block in self.prompt_encoder:
            voice = block(voice, visible.unsqueeze(-1).float())
        voice = self.prompt_norm(voice)
        return [cast(_Block, block).key_value(voice) for block in self.blocks], visible

    def states(self, codes: torch.Tensor, lengths: torch.Tensor, voice: PromptState, level: int) -> torch.Tensor:
        """Return the input ``(batch, frames, width)`` of the head of ``level``, from an encoded prompt."""
        mask = (torch.arange(codes.shape[-1], device=codes.device) < lengths[:, None]).unsqueeze(-1).float()
        x = self._embed(codes) + self.level.weight[level]
        for block, key_value in zip(self.blocks, voice[0], strict=True):
            x = block(x, mask, key_value, voice[1])
        return self.norm(x)


def pad_codes(codes: Sequence[torch.Tensor], multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``(levels, frames)`` codes stacked to ``(batch, levels, length)`` with zeros, and their lengths.

    The common length is the longest one, rounded up to a multiple of ``multiple``.
    """
    lengths = torch.tensor([c.shape[-1] for c in codes])
    longest = -(-int(lengths.max()) // multiple) * multiple
    padded = torch.zeros(len(codes), codes[0].shape[0], longest, dtype=torch.long)
    for row, code in enumerate(codes):
        padded[row, :, : code.shape[-1]] = code
    return padded, lengths


@torch.inference_mode()
def complete(
    model: Nar, level1: Sequence[torch.Tensor], prompts: Sequence[torch.Tensor], batch_size: int = 64
) -> list[torch.Tensor]:
    """Return all levels ``(n_codebooks, frames)`` of level-1 codes ``(frames,)`` and prompts ``(n_codebooks, frames)``.

    Each level is greedy, as in VALL-E. An empty level-1 sequence gives empty codes.
    """
    device = next(model.parameters()).device
    if device.type == "cpu":
        batch_size = min(batch_size, CPU_ROWS)
    done: list[torch.Tensor] = [torch.zeros(model.config.n_codebooks, 0, dtype=torch.long)] * len(level1)
    order = sorted((i for i in range(len(level1)) if len(level1[i])), key=lambda i: len(level1[i]))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        codes, lengths = pad_codes([level1[i].long().unsqueeze(0) for i in chosen], LENGTHS)
        prompt, prompt_lengths = pad_codes([prompts[i].long() for i in chosen])
        codes, lengths = codes.to(device), lengths.to(device)
        prompt, prompt_lengths = prompt.to(device), prompt_lengths.to(device)
        voice = model.encode_prompt(prompt, prompt_lengths)  # once for all levels
        for level in range(1, model.config.n_codebooks):
            predicted = model.heads[level - 1](model.states(codes, lengths, voice, level)).argmax(dim=-1)
            codes = torch.cat([codes, predicted.unsqueeze(1)], dim=1)
        for row, i in enumerate(chosen):
            done[i] = codes[row, :, : int(lengths[row])].cpu()
    return done


def save(model: Nar, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write ``config.json`` and ``model.safetensors``; ``dtype`` narrows the file, not the model."""
    checkpoint.save(model, {"model_type": MODEL_TYPE, **asdict(model.config)}, folder, dtype)


def load(folder: str | Path, device: str | torch.device = "cpu") -> Nar:
    """Load a NAR in evaluation mode.

    Raises:
        CheckpointError: no NAR there, or weights that do not fit the configuration.
    """
    folder = Path(folder)
    config = checkpoint.load_config(folder, "NAR", MODEL_TYPE, NarConfig)
    return checkpoint.load_weights(checkpoint.built(lambda: Nar(config), folder), folder).to(device)
