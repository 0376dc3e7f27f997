"""The faster layers against EnCodec's own."""

from dataclasses import replace

import pytest
import torch
from encodec.modules.conv import SConv1d, pad1d

from model.codecs import encodec
from model.codecs.encodec import Encodec
from model.fast.codec import _convolve, reflect, speed_up
from tests.model.codecs.small import CONFIG, small_model


@pytest.mark.parametrize("lstm", [0, 1])
def test_a_codec_made_faster_gives_the_same_values(lstm):
    config = replace(CONFIG, lstm=lstm)
    model, faster = small_model(config), speed_up(small_model(config))
    wave = 0.1 * torch.randn(2, 1, 320 * 7 + 5)
    with torch.inference_mode():
        latent = model.encoder(wave)
        torch.testing.assert_close(faster.encoder(wave), latent, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(faster.decoder(latent.clone()), model.decoder(latent), rtol=1e-6, atol=1e-6)


def test_causal_layers_too():
    """The published codec's are."""
    torch.manual_seed(0)
    layers = [SConv1d(2, 2, 7, causal=True, norm="weight_norm"), SConv1d(2, 2, 4, stride=2, dilation=1, causal=True)]
    x = torch.randn(1, 2, 31)
    for layer in layers:
        expected = layer(x)
        assert torch.equal(_convolve(layer, x), expected)


def test_a_codec_loaded_for_inference_is_fast_and_its_codes_are_the_packages(tmp_path):
    encodec.save(small_model(), CONFIG, tmp_path)
    fast, package = Encodec.load(str(tmp_path)), Encodec(encodec.load_model(str(tmp_path)))
    assert not any("weight_g" in name for name in fast.model.state_dict())
    waves = [0.1 * torch.randn(n) for n in (3200, 6400, 1280)]
    for ours, theirs in zip(fast.encode(waves), package.encode(waves), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("lstm", [0, 1])
@pytest.mark.parametrize(
    "products", [True, False]
)  # False: a GPU's layers, where the decoder takes several lengths too
def test_lengths_that_share_a_batch_end_as_they_do_alone(tmp_path, lstm, products):
    config = replace(CONFIG, lstm=lstm)
    encodec.save(small_model(config), config, tmp_path)
    fast, package = Encodec.load(str(tmp_path)), Encodec(encodec.load_model(str(tmp_path)))
    fast._products = fast._products if products else None
    generator = torch.Generator().manual_seed(1)
    waves = [0.1 * torch.randn(320 * frames - 5, generator=generator) for frames in (17, 31, 16, 40, 32, 25, 9, 4)]
    codes = fast.encode(waves)
    assert fast.mixes_lengths
    # 40; 32, 31 and 25 together; 17; 16; 9; 4
    assert [len(members) for _, members in fast._batches([c.shape[1] for c in codes], 10.0)] == [1, 3, 1, 1, 1, 1]
    decoded = fast.decode(codes)
    for wave, ours, sound in zip(waves, codes, decoded, strict=True):
        [theirs] = package.encode([wave])
        assert torch.equal(ours, theirs)
        torch.testing.assert_close(sound, package.decode([theirs])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (0, 2), (4, 4), (3, 9), (12, 2)])
def test_ends_are_mirrored_as_the_package_does(left, right):
    x = torch.randn(2, 3, 9)
    before = x.clone()
    assert torch.equal(reflect(x, (left, right)), pad1d(x, (left, right), "reflect"))
    assert torch.equal(x, before)


def test_a_codec_to_be_trained_keeps_the_packages_layers(tmp_path):
    model = small_model()
    encodec.save(model, CONFIG, tmp_path / "codec")
    trainable = encodec.load_model(str(tmp_path / "codec"))
    encodec.save(trainable, CONFIG, tmp_path / "again")
    assert trainable.state_dict().keys() == model.state_dict().keys()
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "codec/model.safetensors").read_bytes()
