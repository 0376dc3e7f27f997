import pytest
import torch

from model import policy
from model.gap.synthetic_codes import resampled
from model.layouts.speech import Speech
from tests.sequences import voice_of

CODES = 16


@pytest.fixture(scope="module")
def start():
    torch.manual_seed(0)
    return policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=256), CODES)


def utterances(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    golden = [torch.randint(CODES, (5 + 3 * i,), generator=generator) for i in range(n)]
    prompts = [voice_of(*torch.randint(CODES, (3, 4), generator=generator)) for _ in range(n)]
    return ["one", "two four", "a", "six seven"][:n], prompts, golden, list(range(n))


def test_each_frame_is_drawn_given_the_golden_frames_before_it(start):
    texts, prompts, golden, _ = utterances(1)
    context = start.layout.context(texts[0], prompts[0])
    ids = torch.tensor([context + start.layout.target(Speech.of(golden[0]), finished=False)])
    with torch.no_grad():
        logits = start.model(ids).logits[0, len(context) - 1 : -1, -CODES:]
    # As good as greedy: the most likely code of each frame, with the end mark and the text out of the question.
    [drawn] = resampled(start, texts, prompts, golden, [0], temperature=1e-4)
    assert torch.equal(drawn, logits.argmax(dim=-1))


def test_draws_follow_the_policys_probabilities(start):
    texts, prompts, golden, _ = utterances(1)
    drawn = torch.stack(
        resampled(start, texts * 2000, prompts * 2000, golden * 2000, list(range(2000)), batch_size=500)
    )
    context = start.layout.context(texts[0], prompts[0])
    with torch.no_grad():
        expected = start.model(torch.tensor([context])).logits[0, -1, -CODES:].softmax(dim=-1)
    shares = torch.bincount(drawn[:, 0], minlength=CODES) / 2000
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_only_the_likeliest_codes_are_drawn_where_the_policy_is_sampled_so(start):
    texts, prompts, golden, seeds = utterances(4)
    one, again = (torch.cat(resampled(start, texts, prompts, golden, s, top_k=1)) for s in (seeds, [7, 8, 9, 10]))
    assert torch.equal(one, again)
    assert not torch.equal(one, torch.cat(resampled(start, texts, prompts, golden, seeds)))


def test_an_utterances_draw_is_its_own_whatever_shares_the_batch(start):
    texts, prompts, golden, seeds = utterances(4)
    together = resampled(start, texts, prompts, golden, seeds)
    alone = resampled(start, texts, prompts, golden, seeds, batch_size=1)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert [len(t) for t in together] == [len(g) for g in golden]
