"""Tokens in which a codec writes silence, by which a silent sample is told."""

from __future__ import annotations

import torch

from model.codecs.base import Codec
from model.layouts.layout import Layout

SECONDS = 2.0  # of silence that are encoded
MOST = 1 / 8  # of a level's codes: where silence has more, they say little


def silent_tokens(codec: Codec, layout: Layout) -> list[int]:
    """Return the sorted token ids of encoded silence, as a layout writes them.

    What its first and last quarter have is left out, because an edge is no silence to every codec, and so is a level
    whose silence takes more than an eighth of its codes.
    """
    [codes] = codec.encode([torch.zeros(round(SECONDS * codec.sample_rate))])
    frames = codes.shape[1]
    inner = codes[:, frames // 4 : max(frames // 4 + 1, frames * 3 // 4)].numpy()
    slots = layout.code_tokens.slots
    written = layout.code_tokens.write(layout.code_tokens.levels_of(list(inner)))
    found: set[int] = set()
    for level in range(layout.code_tokens.n_levels):
        of_slot = [set(written[slot :: len(slots)]) for slot, own in enumerate(slots) if own == level]
        if max(map(len, of_slot)) <= max(1, MOST * layout.code_tokens.size):
            found |= set().union(*of_slot)
    return sorted(found)
