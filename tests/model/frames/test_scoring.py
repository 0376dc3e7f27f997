"""What trainers take of a frame-parallel policy: log-probabilities of padded rows, pairs in one row, gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.divergence import change, code_logprobs
from model.errors import InputError
from model.fast.shared_context import collate_pairs, pair_logprobs
from model.frames.backbone import train_backbone
from model.frames.csm import policy_logprobs
from model.frames.families import books_in
from model.layouts.layout import Layout
from model.layouts.speech import Speech, VoicePrompt
from model.objectives.logprobs import IGNORE, collate, label_logprobs
from tests.model.frames import tiny
from tests.model.frames.tiny import BOOKS, SIZE


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    folder: Path = tiny.save(tiny.csm(), tmp_path_factory.mktemp("csm"))
    return tiny.layout(folder)


def speech(frames: int, seed: int) -> Speech:
    return Speech.of(*np.random.default_rng(seed).integers(0, SIZE, (BOOKS, frames)))


def sequences(layout: Layout) -> tuple[list[list[int]], list[list[int]]]:
    voice = VoicePrompt("0", "as before", speech(6, 9))
    contexts = [layout.context("Hello.", voice), layout.context("Oh"), layout.context("A longer text", voice)]
    return contexts, [layout.target(speech(5, 1)), layout.target(speech(9, 2), False), layout.target(speech(1, 3))]


def test_padded_rows_score_as_whole_sequences_do(layout):
    model, (contexts, targets) = tiny.csm(), sequences(layout)
    books = books_in(model)
    tokens, labels = collate(contexts, targets)
    found = label_logprobs(model, tokens, labels)
    own, mask = policy_logprobs(model, books, contexts, targets)
    assert found.shape == labels.shape and (found[labels == IGNORE] == 0).all()
    for row, target in enumerate(targets):
        scored = found[row][labels[row] != IGNORE]
        assert len(scored) == len(target)
        torch.testing.assert_close(scored[::BOOKS], own[row][mask[row]], atol=1e-5, rtol=1e-5)
        assert not scored[[i for i in range(len(target)) if i % BOOKS]].any()


def test_both_sides_after_one_context_score_as_apart(layout):
    model, (contexts, targets) = tiny.csm(), sequences(layout)
    train_backbone(model)
    others = [layout.target(speech(4, 5)), layout.target(speech(2, 6)), layout.target(speech(7, 7), False)]
    pairs = [
        {"context": c, "chosen": t, "rejected": o, "chosen_from": 0, "rejected_from": 0}
        for c, t, o in zip(contexts, targets, others, strict=True)
    ]
    chosen, rejected = pair_logprobs(model, **collate_pairs(pairs))
    for side, sums in ((targets, chosen), (others, rejected)):
        own, _ = policy_logprobs(model, books_in(model), contexts, side)
        torch.testing.assert_close(sums, own.sum(1), atol=1e-4, rtol=1e-5)
    (chosen - rejected).sum().backward()
    shared = model.backbone_model.layers[0].mlp.up_proj.weight.grad
    assert shared is not None and shared.abs().sum() > 0
    assert all(p.grad is None for p in model.depth_decoder.parameters())


def test_a_segment_from_a_frame_on_is_scored_alone(layout):
    model, (contexts, targets) = tiny.csm(), sequences(layout)
    pair = {"context": contexts[0], "chosen": targets[0], "rejected": targets[1], "rejected_from": 0}
    whole, _ = policy_logprobs(model, books_in(model), contexts[:1], targets[:1])
    found, _ = pair_logprobs(model, **collate_pairs([pair | {"chosen_from": 2 * BOOKS}]))
    torch.testing.assert_close(found, whole[:, 2:].sum(1), atol=1e-4, rtol=1e-5)


def test_the_divergence_of_two_policies_is_that_of_book_0(layout):
    (contexts, targets), drawable = sequences(layout), layout.drawable
    policy, start = tiny.csm(), tiny.csm()
    with torch.no_grad():
        start.lm_head.weight *= 0.5  # as sampled at temperature 2
    own, other = (code_logprobs(model, contexts, targets, drawable) for model in (policy, start))
    assert own.shape == (6 + 9 + 2, SIZE)  # frames, with the two in which speech ends
    found = change(own, other)
    assert (
        found.kl > 0 and found.temperature == pytest.approx(0.5, rel=0.01) and found.share == pytest.approx(1, abs=0.01)
    )


def test_what_cannot_be_scored_is_refused(layout):
    model = tiny.csm()
    with pytest.raises(InputError, match="a target holds text"):
        label_logprobs(model, *collate([[5, 6]], [[7, 8]]))
    first = books_in(model).first
    with pytest.raises(InputError, match="no whole frames"):
        label_logprobs(model, *collate([[5, 6]], [[first, first + 1, first]]))
