"""The decoder as matrix products against EnCodec's own layers."""

import pytest
import torch
from encodec.modules import SEANetDecoder
from torch import nn

from model.fast.codec import speed_up
from model.fast.seanet import as_products, elu
from tests.model.codecs.small import CONFIG, small_model


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 17])
def test_the_products_give_the_packages_samples(frames):
    model = small_model()
    latent = torch.randn(1, CONFIG.dimension, frames)
    with torch.inference_mode():
        expected = model.decoder(latent)[0].T
        run = as_products(speed_up(model).decoder.model)
        assert run is not None
        torch.testing.assert_close(run(latent[0].T), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        {"causal": True},
        {"causal": True, "trim_right_ratio": 0.5},
        {"n_residual_layers": 2, "dilation_base": 3},
        {"true_skip": True},
        {"ratios": [5, 3]},
        {"compress": 1},
    ],
)
def test_other_shapes_of_the_decoder_too(shape):
    torch.manual_seed(0)
    decoder = SEANetDecoder(
        dimension=8, **{"n_filters": 4, "ratios": [4, 2], "lstm": 0, "norm": "none", "true_skip": False, **shape}
    ).eval()
    latent = torch.randn(1, 8, 11)
    with torch.inference_mode():
        run = as_products(decoder.model)
        assert run is not None
        torch.testing.assert_close(run(latent[0].T), decoder(latent.clone())[0].T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "shape", [{"lstm": 1}, {"norm": "weight_norm"}, {"norm": "time_group_norm"}, {"pad_mode": "zeros"}]
)
def test_a_decoder_with_other_layers_is_left_to_the_package(shape):
    decoder = SEANetDecoder(dimension=8, **{"n_filters": 4, "ratios": [2], "lstm": 0, "norm": "none", **shape})
    assert as_products(decoder.model) is None


def test_elu_is_the_packages_within_rounding():
    x = torch.cat([torch.linspace(-30, 30, 4001), torch.tensor([0.0, -0.0, -1e-8, 1e-8, float("inf"), float("-inf")])])
    torch.testing.assert_close(elu(x), nn.functional.elu(x), rtol=0, atol=1e-7)
    assert elu(torch.tensor([float("nan")])).isnan()
