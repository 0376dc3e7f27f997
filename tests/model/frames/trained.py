"""A tiny CSM that knows the toy language of :mod:`tests.model.layouts.trained`, trained in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import CsmForConditionalGeneration

from model.frames.csm import embed, fold
from model.frames.families import books_in
from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss
from tests.model.frames import tiny
from tests.model.layouts.trained import recordings


def checkpoint(folder: Path, steps: int = 90) -> Path:
    """Write the folder of a trained checkpoint with its ``layout.yaml``."""
    model = tiny.csm(width=48, positions=512)
    for module in model.modules():  # the tiny model's weights are too large to train well
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.05)
    torch.nn.init.normal_(model.depth_decoder.codebooks_head.weight, std=0.05)
    tiny.save(model, folder)
    train(model, tiny.layout(folder), steps)
    return tiny.save(model, folder)


def train(model: CsmForConditionalGeneration, layout: Layout, steps: int) -> None:
    """Train backbone and depth decoder with the class's own loss on every frame of the targets."""
    data = recordings(layout, 400, seed=1, prompted=False)
    sequences = NearMiss("", "", layout).sequences(data)
    books = books_in(model)
    assert books is not None
    optimizer = torch.optim.AdamW([p for n, p in model.named_parameters() if not n.startswith("codec")], lr=5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    rng = np.random.default_rng(0)
    model.train()
    for _ in range(steps):
        chosen = [sequences[i] for i in rng.choice(len(sequences), 16, replace=False)]
        batch = fold(books, [s.context for s in chosen], [s.target for s in chosen], model.device)
        labels = torch.full_like(batch.frames, -100)
        labels[batch.rows, batch.before + 1] = batch.codes
        loss = model(inputs_embeds=embed(model, batch), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
