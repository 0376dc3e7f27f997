"""Tiny checkpoints that know a toy language in a family's layout, trained in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss, Recording
from model.layouts.speech import Speech
from tests.model.layouts.families import make_tokenizer, small_layout

WORDS = ("One", "Two", "Six", "Ten", "Oh")
SIZE = 12  # codes per level
FRAMES = 2  # of each word, of a layout's frames; four codes of the finest level or more
NOISE = 0.05  # share of codes that are any


def recordings(layout: Layout, n: int, seed: int, prompted: bool = True) -> list[Recording]:
    """Draw recordings of the toy language: each word has codes of its own, whatever the layout, with some noise.

    Read at twice their speed, they lose every second code.
    """
    rng = np.random.default_rng(seed)
    per_frame = layout.code_tokens.per_frame
    frames = FRAMES * (4 // max(per_frame))
    language = np.random.default_rng(0)
    spelled = {word: [language.integers(0, SIZE, frames * k) for k in per_frame] for word in WORDS}

    def one(prompt: Recording | None) -> Recording:
        words = rng.choice(WORDS, rng.integers(2, 4))
        levels = [np.concatenate([spelled[word][level] for word in words]) for level in range(len(per_frame))]
        levels = [np.where(rng.random(len(x)) < NOISE, rng.integers(0, SIZE, len(x)), x) for x in levels]
        fast = [level.reshape(-1, 2 * k)[:, :k].reshape(-1) for level, k in zip(levels, per_frame, strict=True)]
        return Recording(" ".join(words), "tara", {1.0: Speech.of(*levels), 2.0: Speech.of(*fast)}, prompt)

    both = False in layout.contexts and not prompted  # every other one has no voice prompt
    return [one(one(None) if True in layout.contexts and not (both and i % 2) else None) for i in range(n)]


def train(model: PreTrainedModel, layout: Layout, data: Sequence[Recording], steps: int) -> None:
    """Train on the targets of a layout's sequences, given their contexts."""
    sequences = NearMiss("", "", layout).sequences(data)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    rng = np.random.default_rng(0)
    model.train()
    for _ in range(steps):
        batch = [sequences[i] for i in rng.choice(len(sequences), 16, replace=False)]
        longest = max(len(s.context) + len(s.target) for s in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for row, s in enumerate(batch):
            n, m = len(s.context), len(s.context) + len(s.target)
            ids[row, :m] = torch.tensor([*s.context, *s.target])
            labels[row, n:m] = torch.tensor(s.target)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def checkpoint(family: str, folder: Path, steps: int = 150) -> tuple[PreTrainedModel, Layout]:
    """Make and save a trained checkpoint of a family; its layout lies next to it as ``layout.yaml``."""
    torch.manual_seed(0)
    # One code token more than codes, so that codes with an offset exist.
    make_tokenizer(family, folder, SIZE + 1, compact=True)
    file = small_layout(family, folder / "layout.yaml", SIZE, lambda content: content["codes"].update(spare=1))
    layout = Layout.load(file, folder)
    shape = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "vocab_size": layout.tokenizer.size, "max_position_embeddings": 512}
    ends = {"eos_token_id": layout.stops[0], "bos_token_id": None, "pad_token_id": None}
    model: PreTrainedModel
    if family == "orpheus":
        model = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **shape, **ends))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**shape, **ends))
    train(model, layout, recordings(layout, 400, seed=1, prompted=False), steps)
    model.save_pretrained(folder)
    return model, layout
