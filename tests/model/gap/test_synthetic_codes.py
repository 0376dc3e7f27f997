import pytest
import torch

from model import policy
from model.codecs import encodec as codec_lib
from model.gap.synthetic_codes import requantized, resampled
from model.tokens import Vocabulary

CODES = 16


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    shape = codec_lib.CodecConfig(
        sample_rate=8000, ratios=(8, 5), n_filters=2, dimension=8, n_codebooks=3, codebook_size=CODES
    )
    model = codec_lib.build(shape).eval()
    for layer in model.quantizer.vq.layers:  # untrained codebooks are all zero
        layer._codebook.embed.copy_(0.05 * torch.randn_like(layer._codebook.embed))
        layer._codebook.inited.fill_(1)
    return model


@pytest.fixture(scope="module")
def wave():
    return 0.3 * torch.randn(4010, generator=torch.Generator().manual_seed(0))  # not a whole number of frames


def test_with_the_codecs_own_level_one_the_codes_are_its_own(codec, wave):
    [own] = codec_lib.encode(codec, [wave])
    assert len(own.unique()) > 3
    assert torch.equal(requantized(codec, wave, own[0], 3), own)


def test_levels_above_make_up_for_another_level_one(codec, wave):
    [own] = codec_lib.encode(codec, [wave])
    level1 = (own[0] + 1) % CODES
    codes = requantized(codec, wave, level1, 3)
    assert torch.equal(codes[0], level1)
    frames = codec.encoder(torch.nn.functional.pad(wave, (0, own.shape[1] * 40 - 4010))[None, None]).detach()

    def miss(c):
        return (codec.quantizer.decode(c[:, None]) - frames).square().mean().item()

    assert miss(codes) < miss(torch.stack([level1, own[1], own[2]]))


def test_level_one_of_another_length_is_an_error(codec, wave):
    with pytest.raises(ValueError, match="4010 samples are 101 frames, but there are 7 level-1 codes"):
        requantized(codec, wave, torch.zeros(7, dtype=torch.long), 3)


@pytest.fixture(scope="module")
def ar():
    torch.manual_seed(0)
    return policy.build(policy.ArShape(layers=1, width=16, heads=2, max_positions=256), Vocabulary(CODES)).eval()


def spoken(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    golden = [torch.randint(CODES, (5 + 3 * i,), generator=generator) for i in range(n)]
    prompts = [torch.randint(CODES, (3, 4), generator=generator) for _ in range(n)]
    return ["one", "two four", "a", "six seven"][:n], prompts, golden, list(range(n))


def test_each_frame_is_drawn_given_the_golden_frames_before_it(ar):
    texts, prompts, golden, _ = spoken(1)
    vocabulary = policy.vocabulary_of(ar)
    context = vocabulary.context(texts[0], prompts[0][0].tolist())
    ids = torch.tensor([context + vocabulary.codes(golden[0].tolist())])
    with torch.no_grad():
        logits = ar(ids).logits[0, len(context) - 1 : -1, -CODES:]
    # As good as greedy: the most likely code of each frame, with the end mark and the text out of the question.
    [drawn] = resampled(ar, texts, prompts, golden, [0], temperature=1e-4)
    assert torch.equal(drawn, logits.argmax(dim=-1))


def test_draws_follow_the_policys_probabilities(ar):
    texts, prompts, golden, _ = spoken(1)
    drawn = torch.stack(resampled(ar, texts * 2000, prompts * 2000, golden * 2000, list(range(2000)), batch_size=500))
    vocabulary = policy.vocabulary_of(ar)
    context = vocabulary.context(texts[0], prompts[0][0].tolist())
    with torch.no_grad():
        expected = ar(torch.tensor([context])).logits[0, -1, -CODES:].softmax(dim=-1)
    shares = torch.bincount(drawn[:, 0], minlength=CODES) / 2000
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_only_the_likeliest_codes_are_drawn_where_the_policy_is_sampled_so(ar):
    texts, prompts, golden, seeds = spoken(4)
    one, again = (torch.cat(resampled(ar, texts, prompts, golden, s, top_k=1)) for s in (seeds, [7, 8, 9, 10]))
    assert torch.equal(one, again)
    assert not torch.equal(one, torch.cat(resampled(ar, texts, prompts, golden, seeds)))


def test_an_utterances_draw_is_its_own_whatever_shares_the_batch(ar):
    texts, prompts, golden, seeds = spoken(4)
    together = resampled(ar, texts, prompts, golden, seeds)
    alone = resampled(ar, texts, prompts, golden, seeds, batch_size=1)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert [len(t) for t in together] == [len(g) for g in golden]
