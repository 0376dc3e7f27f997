"""Delay patterns against the families' own code in transformers, and log-probabilities of delayed books."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    DiaConfig,
    DiaForConditionalGeneration,
    DiaProcessor,
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForCausalLM,
    MusicgenForConditionalGeneration,
    T5Config,
)

from model import policy
from model.errors import CheckpointError, InputError
from model.frames.delay import DelayPattern, delayed_logprobs, pad_steps
from model.frames.delayed import Dia, Musicgen, logprobs

SIZE = 16  # codes per book
DIA = DelayPattern((0, 2, 3, 4), bos=SIZE + 2, pad=SIZE + 1, eos=SIZE)
MUSICGEN = DelayPattern((0, 1, 2, 3), bos=SIZE, pad=SIZE)
TEXTS = [[5, 6, 7], [8, 9], [3, 4, 5, 6, 7]]


def frames(n: int, books: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, SIZE, (n, books), generator=torch.Generator().manual_seed(seed))


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [DIA, MUSICGEN, DelayPattern((0, 8, 9, 10, 11, 12, 13, 14, 15), 1026, 1025, 1024)])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_frames_come_back_from_their_steps(pattern, n):
    written = frames(n, len(pattern.delays))
    steps = pattern.delay(written)
    back, finished = pattern.undo(steps)
    assert torch.equal(back, written) and finished == (pattern.eos is not None)
    marks = n * len(pattern.delays) + (len(pattern.delays) if pattern.eos is not None else 0)
    assert int(pattern.scored(steps).sum()) == marks


def test_a_sample_that_was_cut_off_keeps_its_whole_frames():
    steps = DIA.delay(frames(9))[:8]
    back, finished = DIA.undo(steps)
    assert torch.equal(back, frames(9)[:4]) and not finished


def test_dias_pattern_is_its_processors():
    n = 7
    ids = torch.nn.functional.pad(frames(n), (0, 0, 0, 1), value=DIA.eos)
    ids = torch.nn.functional.pad(ids, (0, 0, 1, 0), value=DIA.bos)  # the class reads one bos before the first step
    whole = torch.full((1, len(ids) + DIA.longest, 4), DIA.pad)
    whole[0, : len(ids)] = ids
    places = DiaProcessor.build_indices(1, whole.shape[1], 4, list(DIA.delays))
    own = DiaProcessor.apply_audio_delay(whole, DIA.pad, DIA.bos, places)[0]
    assert torch.equal(DIA.delay(frames(n)), own[1:])


def test_musicgens_pattern_is_its_own():
    model = musicgen_alone()
    n = 7
    start = torch.full((4, 1), MUSICGEN.pad)
    _, pattern = model.build_delay_pattern_mask(start, MUSICGEN.pad, max_length=n + 4)
    steps = MUSICGEN.delay(frames(n))
    assert torch.equal(pattern[:, 1:].T == -1, MUSICGEN.scored(steps))
    given, _ = model.build_delay_pattern_mask(torch.cat([start, frames(n).T], dim=1), MUSICGEN.pad, max_length=n + 4)
    ours = torch.cat([start.T, steps])
    assert torch.equal(given.T[: n + 1], ours[: n + 1])  # the class leaves out what it would fill itself


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: DIA.delay(frames(3, 5)), "codes of 4 books"),
        (lambda: DIA.delay(frames(3) + SIZE), "mark something else"),
        (lambda: DelayPattern((1, 2), 3, 4), "should begin at 0"),
        (lambda: DelayPattern((0, 2, 1, 4), DIA.bos, DIA.pad, DIA.eos).undo(DIA.delay(frames(9))), "another family's"),
    ],
)
def test_what_is_no_pattern_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_a_model_that_cannot_end_speech_is_no_policy(tmp_path):
    musicgen().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is a musicgen, which is no policy to align: it has no code that ends"):
        policy.load(tmp_path)


# --- models ---------------------------------------------------------------------------------------------------------


def dia() -> DiaForConditionalGeneration:
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": 1}
    encoder = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 256, **heads}
    decoder = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "cross_num_attention_heads": 2,
        "cross_num_key_value_heads": 2,
        "cross_head_dim": 8,
        "cross_hidden_size": 16,
        "vocab_size": SIZE + 4,
        "num_channels": 4,
        "bos_token_id": DIA.bos,
        "pad_token_id": DIA.pad,
        "eos_token_id": DIA.eos,
        **heads,
    }
    config = DiaConfig(encoder_config=encoder, decoder_config=decoder, delay_pattern=list(DIA.delays))
    return DiaForConditionalGeneration(config).eval()


def decoder_config() -> MusicgenDecoderConfig:
    return MusicgenDecoderConfig(
        vocab_size=SIZE,
        num_codebooks=4,
        hidden_size=16,
        ffn_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=SIZE,
        bos_token_id=SIZE,
        max_position_embeddings=64,
    )


def musicgen_alone() -> MusicgenForCausalLM:
    torch.manual_seed(0)
    return MusicgenForCausalLM(decoder_config()).eval()


def musicgen() -> MusicgenForConditionalGeneration:
    torch.manual_seed(0)
    text = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    audio = EncodecConfig(num_filters=2, hidden_size=8, codebook_size=SIZE, num_lstm_layers=1)
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=audio.to_dict(), decoder=decoder_config().to_dict()
    )
    return MusicgenForConditionalGeneration(config).eval()


POLICIES = {
    "dia": lambda: Dia(dia()),
    "musicgen": lambda: Musicgen(musicgen()),
    "alone": lambda: Musicgen(musicgen_alone()),
}


@pytest.mark.parametrize("family", POLICIES)
def test_a_batch_scores_as_one_sequence_at_a_time(family):
    policy = POLICIES[family]()
    spoken = [frames(n, seed=n) for n in (5, 9, 2)]
    found, mask = logprobs(policy, TEXTS, spoken)
    for row, (text, one) in enumerate(zip(TEXTS, spoken, strict=True)):
        alone, own = logprobs(policy, [text], [one])
        n = alone.shape[1]
        torch.testing.assert_close(found[row, :n], alone[0], atol=1e-4, rtol=0)
        assert torch.equal(mask[row, :n], own[0]) and not mask[row, n:].any()
        ends = 4 if policy.pattern.eos is not None else 0
        assert int(own.sum()) == 4 * len(one) + ends
    assert (found[~mask] == 0).all()
    found.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.model.parameters())


def test_dias_log_probabilities_are_those_of_the_class():
    model, one = dia(), frames(6)
    steps = DIA.delay(one)[None]
    labels = steps.masked_fill(~DIA.scored(steps[0])[None], -100).transpose(1, 2).reshape(4, -1)
    given = torch.cat([torch.full_like(steps[:, :1], DIA.bos), steps[:, :-1]], dim=1)
    logits = model(input_ids=torch.tensor([TEXTS[0]]), decoder_input_ids=given).logits
    own = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    found, mask = logprobs(Dia(model), TEXTS[:1], [one])
    assert float(-found.detach().sum() / mask.sum()) == pytest.approx(float(own.detach()), abs=1e-4)


def test_musicgens_log_probabilities_are_the_loss_of_the_class():
    model, one = musicgen_alone(), frames(6)
    steps = MUSICGEN.delay(one)[None]
    given = torch.cat([torch.full_like(steps[:, :1], SIZE), steps[:, :-1]], dim=1).transpose(1, 2).reshape(4, -1)
    own = model(input_ids=given, labels=steps).loss  # a mean over books of the mean over their codes
    found, mask = logprobs(Musicgen(model), [[]], [one])
    assert float(-(found.detach().sum(1) / mask.sum(1)).mean()) == pytest.approx(float(own.detach()), abs=1e-4)


def test_later_steps_and_marks_do_not_matter():
    pattern, steps = DIA, pad_steps(DIA, [DIA.delay(frames(3)), DIA.delay(frames(8, seed=1))])
    logits = torch.randn(2, steps.shape[1], 4, SIZE + 4)
    found, mask = delayed_logprobs(pattern, logits, steps)
    changed = logits.masked_fill(~mask[..., None], 7.0)
    torch.testing.assert_close(found, delayed_logprobs(pattern, changed, steps)[0])
