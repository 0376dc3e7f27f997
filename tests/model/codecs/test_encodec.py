"""The codec wrapper against the package it wraps."""

import pytest
import torch

from model.codecs import encodec as codec
from model.errors import CheckpointError

CONFIG = codec.CodecConfig(n_filters=2, dimension=8, n_codebooks=2, codebook_size=16)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = codec.build(CONFIG).eval()
    for layer in built.quantizer.vq.layers:  # k-means starts at the first training batch; give it something here
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    return built


def waves(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(n, generator=generator) for n in lengths]


def test_batched_codes_equal_the_packages_file_by_file(model):
    many = waves(6400, 3200, 6400, 1280, 3200)  # whole frames, so that nothing is added
    for wave, codes in zip(many, codec.encode(model, many, batch_seconds=2.0), strict=True):
        with torch.inference_mode():
            [(expected, _)] = model.encode(wave[None, None])
        assert torch.equal(codes, expected[0])


def test_a_partial_frame_is_filled_with_silence(model):
    [wave] = waves(3210)
    [codes] = codec.encode(model, [wave])
    assert codes.shape == (2, 11)
    [filled] = codec.encode(model, [torch.nn.functional.pad(wave, (0, 3520 - 3210))])
    assert torch.equal(codes, filled)


def test_decoding_gives_whole_frames_in_the_order_given(model):
    many = waves(6400, 3200, 6400)
    codes = codec.encode(model, many)
    decoded = codec.decode(model, codes)
    assert [len(w) for w in decoded] == [6400, 3200, 6400]
    for code, wave in zip(codes, decoded, strict=True):
        torch.testing.assert_close(codec.decode(model, [code])[0], wave, atol=1e-5, rtol=1e-4)
    assert codec.decode(model, [torch.zeros(2, 0, dtype=torch.long)])[0].numel() == 0


@pytest.mark.parametrize("wave", [torch.zeros(100), torch.zeros(2, 3200)])
def test_waves_that_cannot_be_encoded_are_named(model, wave):
    with pytest.raises(ValueError, match=r"waveform 0 has shape .* expected \(samples,\)"):
        codec.encode(model, [wave])


def test_save_and_load_in_half_precision(model, tmp_path):
    codec.save(model, CONFIG, tmp_path / "codec", torch.float16)
    loaded = codec.load(str(tmp_path / "codec"), trainable=True)
    assert codec.hop_length(loaded) == 320 and codec.n_codebooks(loaded) == 2
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name].half().float())


def test_a_checkpoint_of_another_shape_is_refused(model, tmp_path):
    codec.save(model, CONFIG, tmp_path / "codec")
    config = tmp_path / "codec/config.json"
    config.write_text(config.read_text().replace('"dimension": 8', '"dimension": 16'))
    with pytest.raises(ValueError, match=r"do not fit its config\.json"):
        codec.load(str(tmp_path / "codec"))


def test_a_missing_codec_names_the_choices(tmp_path):
    with pytest.raises(CheckpointError, match="encodec_24khz"):
        codec.load(str(tmp_path / "nothing"))
