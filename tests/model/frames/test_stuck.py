"""Samples of frames that end in a loop, told by their first book, counted and drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from model import policy
from model.policy import Policy
from model.sampling import Decoding, sample
from model.stuck import is_stuck
from tests.model.frames import tiny, tiny_dia

TEXTS = ["Hello.", "Oh"]  # of 42 frames, and of too few for a loop
LOOPING = Decoding(max_frames_per_character=7.0)


@torch.no_grad()
def same_whatever_is_read(model: PreTrainedModel, head: torch.Tensor) -> None:
    """Let a model find code 3 likeliest after anything; ``head (books, codes, width)`` is its output layer."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and not name.startswith("codec"):
            parameter.mul_(1e-6)
            if "embed" in name:
                parameter.fill_(1)
    head.fill_(-1)
    head[:, 3] = 1


def csm(folder: Path) -> Path:
    model = tiny.csm()
    same_whatever_is_read(model, model.lm_head.weight[None])
    return tiny.save(model, folder)


def dia(folder: Path) -> Path:
    model = tiny_dia.dia()
    same_whatever_is_read(model, model.logits_dense.weight.view(tiny_dia.BOOKS, tiny_dia.SIZE + 4, -1))
    return tiny_dia.save(model, folder)


@pytest.fixture(scope="module", params=[csm, dia], ids=["csm", "dia"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    make: Callable[[Path], Path] = request.param
    return policy.load(make(tmp_path_factory.mktemp("policy")))


def drawn(loaded: Policy, decoding: Decoding):
    requests = [loaded.request(text, decoding=decoding, seed=i) for i, text in enumerate(TEXTS)]
    return sample(loaded.model, requests, decoding, loaded.layout.drawable)


def test_a_loop_is_told_by_the_first_book_and_drawn_again(loaded: Policy):
    books = len(loaded.layout.code_tokens.slots)
    once, again = drawn(loaded, LOOPING), drawn(loaded, replace(LOOPING, redraw_stuck=1))
    assert [len(found.tokens) // books for found in once] == [42, 14]
    for first, second, stuck in zip(once, again, [True, False], strict=True):
        assert first.stuck is second.stuck is is_stuck(first.tokens[::books]) is stuck
        assert (first.redrawn, second.redrawn) == (0, int(stuck))
