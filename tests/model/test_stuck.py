"""Which samples count as stuck, and that they are drawn again as often as asked and no more."""

import numpy as np
import pytest
import torch

from model.drawable import Drawable
from model.errors import InputError
from model.sampling import Decoding, Request, sample
from model.stuck import is_stuck
from tests.model.causal_models import causal

RNG = np.random.default_rng(0)
SPEECH = RNG.integers(0, 500, 300)
DRAWABLE = Drawable(range(40, 97), (2,))


@pytest.mark.parametrize(
    ("tokens", "stuck"),
    [
        (SPEECH, False),
        (np.zeros(400, int), True),
        (np.tile(SPEECH[:7], 60), True),
        (np.concatenate([SPEECH[:100], np.tile(SPEECH[:90], 5)]), True),  # the last repeat may be cut off
        (np.concatenate([SPEECH[:100], np.tile(SPEECH[:90], 5)])[:-13], True),
        (np.concatenate([SPEECH, np.zeros(90, int)]), False),  # a pause at the end
        (np.concatenate([np.zeros(200, int), SPEECH]), False),  # one at the start
        (np.zeros(20, int), False),  # a short sound
        (np.zeros(0, int), False),
    ],
)
def test_a_loop_is_repeats_that_make_up_half_of_the_sample(tokens, stuck):
    assert is_stuck(tokens) == stuck


def test_silence_is_nearly_nothing_but_the_codes_of_silence():
    silence = RNG.choice([3, 4, 5], 200)
    assert is_stuck(silence, frozenset({3, 4, 5})) and not is_stuck(silence)
    assert not is_stuck(np.concatenate([silence[:100], SPEECH[:50]]), frozenset({3, 4, 5}))


@pytest.fixture(scope="module")
def model():
    """A policy that repeats its last token more often than not, and seldom ends."""
    made = causal("qwen3")
    with torch.no_grad():
        made.lm_head.weight.copy_(1.5 * torch.nn.functional.normalize(made.model.embed_tokens.weight))
        for layer in made.model.layers:
            layer.self_attn.o_proj.weight.mul_(0.05)
            layer.mlp.down_proj.weight.mul_(0.05)
        made.lm_head.weight[2] *= 0.1
    return made


def drawn(model, redraw, batch_size=24):
    asked = [Request((4, 60, 7), 48, seed) for seed in range(24)]
    return sample(model, asked, Decoding(redraw_stuck=redraw), DRAWABLE, batch_size)


def test_stuck_samples_are_drawn_again_at_most_so_often_and_say_so(model):
    once, thrice = drawn(model, 0), drawn(model, 3)
    stuck = [s.stuck for s in once]
    assert any(stuck) and not all(stuck) and all(s.redrawn == 0 for s in once)
    assert [s.stuck for s in once] == [is_stuck(s.tokens) for s in once]
    for before, after in zip(once, thrice, strict=True):
        assert (after.redrawn > 0) == before.stuck and after.redrawn <= 3
        assert not after.stuck or after.redrawn == 3  # never hidden
        if not before.stuck:
            assert np.array_equal(before.tokens, after.tokens)
    assert sum(s.stuck for s in thrice) < sum(stuck)


def test_what_is_drawn_again_does_not_depend_on_neighbors(model):
    for a, b in zip(drawn(model, 2), drawn(model, 2, batch_size=7), strict=True):
        assert np.array_equal(a.tokens, b.tokens) and a.redrawn == b.redrawn


def test_a_number_of_redraws_below_zero_is_refused(model):
    with pytest.raises(InputError, match="redraw_stuck is -1; expected 0"):
        drawn(model, -1)
