"""Sampling of CSM against its own class: greedy frames, the distribution, log-probabilities, independent rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.drawable import Drawable
from model.errors import InputError
from model.frames.csm import embed, fold, policy_logprobs
from model.frames.tokenizer import FrameTokenizer
from model.layouts.layout import Layout
from model.sampling import Decoding, Request, Sampled, sample
from tests.model.frames import tiny
from tests.model.frames.tiny import BOOKS, SIZE

FRAMES = 20
PLAIN = Decoding()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.save(tiny.csm(), tmp_path_factory.mktemp("csm"))


@pytest.fixture(scope="module")
def layout(folder) -> Layout:
    return tiny.layout(folder)


@pytest.fixture(scope="module")
def model():
    return tiny.csm()


def run(model, layout: Layout, texts: list[str], decoding=PLAIN, seeds=None, frames=FRAMES, **kwargs):
    assert isinstance(layout.tokenizer, FrameTokenizer)
    contexts = [tuple(layout.context(text)) for text in texts]
    requests = [Request(c, frames * BOOKS, s) for c, s in zip(contexts, seeds or range(len(texts)), strict=True)]
    drawable = Drawable(codes=sorted(layout.code_tokens.all), stops=layout.stops)
    return contexts, sample(model, requests, decoding, drawable, **kwargs)


def frames_of(layout: Layout, sampled: Sampled) -> np.ndarray:
    return np.stack(layout.read(sampled.target).speech.levels, axis=1)


def test_the_likeliest_frames_are_those_of_generate(model, layout):
    texts = ["Hello.", "A longer text", "Oh"]
    contexts, found = run(model, layout, texts, Decoding(temperature=0.01))
    marks = {"suppress_tokens": [*range(SIZE, SIZE + 3)], "depth_decoder_suppress_tokens": [*range(SIZE, SIZE + 3)]}
    for context, sampled in zip(contexts, found, strict=True):
        own = model.generate(torch.tensor([context]), do_sample=False, max_new_tokens=FRAMES, **marks)[0]
        np.testing.assert_array_equal(frames_of(layout, sampled), own.numpy())


@pytest.mark.parametrize("do_sample", [False, True])
def test_recorded_log_probabilities_are_teacher_forced_ones(layout, do_sample):
    model = tiny.csm(3)
    model.depth_decoder.generation_config.do_sample = do_sample
    with torch.no_grad():  # some samples end
        model.lm_head.weight *= 0.1
        if not do_sample:  # the likeliest code of equally likely ones is 0
            model.depth_decoder.codebooks_head.weight.zero_()
    texts = ["Hello.", "A longer text", "Oh", "Oh", "Hello."] * 4
    contexts, found = run(model, layout, texts, Decoding(temperature=1.3, top_p=0.98))
    logprobs, mask = policy_logprobs(model, layout.tokenizer.books, contexts, [s.target for s in found])
    for row, sampled in enumerate(found):
        assert len(sampled.logprobs) == len(sampled.target)
        np.testing.assert_allclose(sampled.logprobs[::BOOKS], logprobs[row][mask[row]].detach().numpy(), atol=1e-4)
        assert (sampled.behavior <= 0).all() and not np.allclose(sampled.behavior, sampled.logprobs)
        at_other_books = np.arange(len(sampled.target)) % BOOKS != 0
        assert not sampled.logprobs[at_other_books].any() and not sampled.behavior[at_other_books].any()
    assert 0 < sum(s.finished for s in found) < len(found) or do_sample


def test_a_row_does_not_depend_on_its_neighbors(model, layout):
    texts = ["Hello.", "A longer text", "Oh", "Nothing at all"]
    model.depth_decoder.generation_config.do_sample = True
    together = run(model, layout, texts)[1]
    for i, text in enumerate(texts):
        [alone] = run(model, layout, [text], seeds=[i], frames=FRAMES)[1]
        np.testing.assert_array_equal(together[i].tokens, alone.tokens)
        np.testing.assert_allclose(together[i].logprobs, alone.logprobs, atol=1e-5)
    done: list[int] = []
    split = run(model, layout, texts, batch_size=3, on_done=done.append)[1]
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(together, split, strict=True))
    assert done == [3, 1]
    model.depth_decoder.generation_config.do_sample = False


def test_draws_follow_the_models_distribution(layout):
    """Book 0 of the first frame, and book 1 given it, by chi squared."""
    model = tiny.csm(5)
    with torch.no_grad():  # flatter, so that many codes are drawn
        model.lm_head.weight *= 0.3
        model.depth_decoder.codebooks_head.weight *= 0.3
    model.depth_decoder.generation_config.update(do_sample=True, top_k=0)
    n = 2000
    [context, *_], found = run(model, layout, ["Oh"] * n, frames=1, batch_size=500)
    drawn = np.stack([frames_of(layout, s)[0] for s in found])
    batch = fold(layout.tokenizer.books, [context], [[]], model.device)
    with torch.inference_mode():
        out = model.backbone_model(inputs_embeds=embed(model, batch)).last_hidden_state[:, -1]
        logits = model.lm_head(out)[0, 1:SIZE]  # neither the end, at first, nor marks
        likeliest = int(np.bincount(drawn[:, 0]).argmax())
        depth = model.depth_decoder(torch.tensor([[0, likeliest]]), backbone_last_hidden_state=out).logits[0, 0, :SIZE]
    for codes, expected in (
        (drawn[:, 0] - 1, logits.softmax(-1)),
        (drawn[drawn[:, 0] == likeliest, 1], depth.softmax(-1)),
    ):
        wanted = expected.numpy() * len(codes)
        counts = np.bincount(codes, minlength=len(wanted))
        few = wanted < 5
        wanted, counts = [np.append(x[~few], x[few].sum()) for x in (wanted, counts)]
        statistic = ((counts - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum()
        assert statistic < len(wanted) - 1 + 4 * np.sqrt(2 * (len(wanted) - 1))


def test_what_cannot_be_sampled_is_refused(model, layout):
    with pytest.raises(InputError, match="up to 125 frames exceed the model's 128 positions"):
        run(model, layout, ["Hello."], frames=125)
    with pytest.raises(InputError, match="temperature is 0"):
        run(model, layout, ["Hello."], Decoding(temperature=0))
    broken = tiny.csm()
    with torch.no_grad():
        broken.lm_head.weight[3] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        run(broken, layout, ["Hello."])
