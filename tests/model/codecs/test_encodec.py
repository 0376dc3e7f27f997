"""The codec interface around EnCodec, against the package."""

from dataclasses import replace

import pytest
import torch

from model.codecs import encodec
from model.codecs.encodec import Encodec
from model.codecs.registry import CODECS, load_codec
from model.errors import CheckpointError, InputError
from tests.model.codecs.small import CONFIG, small_model


@pytest.fixture(scope="module")
def codec():
    return Encodec(small_model())


def waves(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(n, generator=generator) for n in lengths]


def test_a_codec_knows_its_sizes(codec):
    assert (codec.sample_rate, codec.hop_length, codec.frame_rate) == (16000, 320, 50)
    assert (codec.n_codebooks, codec.codebook_size) == (2, 16)


def test_batched_codes_equal_the_packages_file_by_file(codec):
    many = waves(6400, 3200, 6400, 1280, 3200)  # whole frames, so that nothing is added
    for wave, codes in zip(many, codec.encode(many, batch_seconds=2.0), strict=True):
        with torch.inference_mode():
            [(expected, _)] = codec.model.encode(wave[None, None])
        assert torch.equal(codes, expected[0])


def test_a_partial_frame_is_filled_with_silence(codec):
    [wave] = waves(3210)
    [codes] = codec.encode([wave])
    assert codes.shape == (2, 11)
    [filled] = codec.encode([torch.nn.functional.pad(wave, (0, 3520 - 3210))])
    assert torch.equal(codes, filled)


def test_decoding_gives_whole_frames_in_the_order_given(codec):
    many = waves(6400, 3200, 6400)
    codes = codec.encode(many)
    decoded = codec.decode(codes)
    assert [len(w) for w in decoded] == [6400, 3200, 6400]
    for code, wave in zip(codes, decoded, strict=True):
        torch.testing.assert_close(codec.decode([code])[0], wave, atol=1e-5, rtol=1e-4)
    assert codec.decode([torch.zeros(2, 0, dtype=torch.long)])[0].numel() == 0


@pytest.mark.parametrize("wave", [torch.zeros(100), torch.zeros(2, 3200)])
def test_waves_that_cannot_be_encoded_are_named(codec, wave):
    with pytest.raises(InputError, match=r"waveform 0 has shape .* expected \(samples,\)"):
        codec.encode([wave])


@pytest.fixture(scope="module")
def fine():
    """A codec whose codebooks are as fine as its untrained embeddings, so that codes vary."""
    shape = replace(CONFIG, sample_rate=8000, ratios=(8, 5), n_codebooks=3)
    return Encodec(small_model(shape, scale=0.05))


def test_with_the_codecs_own_level_one_the_requantized_codes_are_its_own(fine):
    wave = 3 * waves(4010)[0]  # not a whole number of frames
    [own] = fine.encode([wave])
    assert len(own.unique()) > 3
    assert torch.equal(fine.requantize(wave, own[0], 3), own)


def test_requantized_levels_make_up_for_another_level_one(fine):
    wave = 3 * waves(4010)[0]
    [own] = fine.encode([wave])
    level1 = (own[0] + 1) % 16
    codes = fine.requantize(wave, level1, 3)
    assert torch.equal(codes[0], level1)
    frames = fine.model.encoder(torch.nn.functional.pad(wave, (0, own.shape[1] * 40 - 4010))[None, None]).detach()

    def miss(c):
        return (fine.model.quantizer.decode(c[:, None]) - frames).square().mean().item()

    assert miss(codes) < miss(torch.stack([level1, own[1], own[2]]))


def test_level_one_of_another_length_is_an_error(codec):
    with pytest.raises(ValueError, match="3201 samples are 11 frames, but there are 7 level-1 codes"):
        codec.requantize(torch.zeros(3201), torch.zeros(7, dtype=torch.long), 2)


def test_save_and_load_in_half_precision(codec, tmp_path):
    encodec.save(codec.model, CONFIG, tmp_path / "codec", torch.float16)
    assert encodec.read_config(tmp_path / "codec") == CONFIG
    for name, value in encodec.load_model(str(tmp_path / "codec")).state_dict().items():
        torch.testing.assert_close(value, codec.model.state_dict()[name].half().float())


def test_a_checkpoint_of_another_shape_is_refused(codec, tmp_path):
    encodec.save(codec.model, CONFIG, tmp_path / "codec")
    config = tmp_path / "codec/config.json"
    config.write_text(config.read_text().replace('"dimension": 8', '"dimension": 16'))
    with pytest.raises(CheckpointError, match=r"do not fit its config\.json"):
        load_codec(str(tmp_path / "codec"))


def test_a_missing_codec_names_the_choices(tmp_path):
    with pytest.raises(CheckpointError, match="encodec_24khz"):
        load_codec(str(tmp_path / "nothing"))


def test_a_codec_of_an_unknown_kind_names_the_known_ones(codec, tmp_path):
    encodec.save(codec.model, CONFIG, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"encodec"', '"bicodec"'))
    with pytest.raises(CheckpointError, match=r"model_type 'bicodec'; expected one of dac, encodec, .*snac"):
        load_codec(str(tmp_path))


def test_another_codec_is_a_class_and_one_entry(codec, tmp_path, monkeypatch):
    class Halved(Encodec):
        """EnCodec with half of its levels."""

        def encode_batch(self, waves, frames):
            return super().encode_batch(waves, frames)[:, : self.n_codebooks // 2]

    monkeypatch.setitem(CODECS, "encodec", Halved)
    encodec.save(codec.model, CONFIG, tmp_path)
    [wave] = waves(3200)
    assert torch.equal(load_codec(str(tmp_path)).encode([wave])[0], codec.encode([wave])[0][:1])
