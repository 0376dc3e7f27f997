"""Codecs of other projects behind the one interface, on small random models: rates, shapes, round trips."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from model.codecs.facts import PUBLISHED_FACTS, Facts, codec_facts
from model.codecs.registry import CODECS, load_codec
from model.errors import CheckpointError, InputError
from tests.model.codecs.foreign import MAKERS, save

# rate of the decoder and encoder, samples per frame of each, levels, codes
SIZES = {
    "encodec_hf": (10000, 10000, 20, 20, 3, 16),
    "dac": (8000, 8000, 10, 10, 3, 16),
    "mimi": (8000, 8000, 40, 40, 4, 16),
    "xcodec2": (16000, 16000, 320, 320, 1, 64),
    "neucodec": (24000, 16000, 480, 320, 1, 64),
    "snac": (8000, 8000, 32, 32, 3, 16),
}
KINDS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind == "snac" and importlib.util.find_spec("snac") is None, reason="needs the package snac (an extra)"
        ),
    )
    for kind in SIZES
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        return made.setdefault(kind, save(kind, tmp_path_factory.mktemp(kind))) if kind not in made else made[kind]

    return of


@pytest.fixture(scope="module")
def codec(folder):
    made: dict = {}

    def of(kind: str):
        if kind not in made:
            made[kind] = load_codec(str(folder(kind)))
        return made[kind]

    return of


def waves(codec, *frames: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.3 * torch.randn(round(n * codec.encode_hop), generator=generator) for n in frames]


@pytest.mark.parametrize("kind", KINDS)
def test_a_codec_knows_its_rates_and_sizes(codec, folder, kind):
    made = codec(kind)
    sizes = (made.sample_rate, made.encode_rate, made.hop_length, made.encode_hop, made.n_codebooks, made.codebook_size)
    assert sizes == SIZES[kind]
    assert codec_facts(str(folder(kind))) == Facts(kind, made.sample_rate, made.n_codebooks, made.codebook_size)
    assert made.encode_rate / made.encode_hop == made.frame_rate


@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_waves_have_whole_frames_and_equal_calls_agree(codec, kind):
    made = codec(kind)
    many = waves(made, 24, 7.5, 24, 12)
    codes = made.encode(many, rate=made.encode_rate)
    rows = sum(made.codes_per_frame) or made.n_codebooks

    assert [tuple(c.shape) for c in codes] == [(rows, n) for n in (24, 8, 24, 12)]
    assert all(c.min() >= 0 and c.max() < made.codebook_size for c in codes)
    assert len(torch.cat([c.flatten() for c in codes]).unique()) > 2
    decoded = made.decode(codes)
    assert [len(w) for w in decoded] == [n * made.hop_length for n in (24, 8, 24, 12)]
    for wave, again in zip(decoded, made.decode(codes), strict=True):
        assert torch.equal(wave, again)
    for one, alone in zip(codes, [made.encode([w], rate=made.encode_rate)[0] for w in many], strict=True):
        assert torch.equal(one, alone)
    torch.testing.assert_close(made.decode([codes[2]])[0], decoded[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_taken_apart_and_put_together(codec, kind):
    made = codec(kind)
    [codes] = made.encode(waves(made, 6), rate=made.encode_rate)
    levels = made.levels(codes)
    assert [len(level) for level in levels] == [6 * n for n in made.codes_per_frame or (1,) * made.n_codebooks]
    assert torch.equal(made.rows(levels), codes)
    if len(levels) > 1:
        with pytest.raises(InputError, match="expected multiples of"):
            made.rows([*levels[:-1], levels[-1][:-1]])


def test_snac_levels_are_the_packages_own(codec):
    pytest.importorskip("snac")
    made = codec("snac")
    [wave] = waves(made, 6)
    with torch.inference_mode():
        expected = made.model.encode(wave[None, None])
    [codes] = made.encode([wave])
    assert [len(level) for level in made.levels(codes)] == [6, 12, 24]
    assert all(torch.equal(a, b[0]) for a, b in zip(made.levels(codes), expected, strict=True))


def test_a_codec_that_reads_another_rate_resamples(codec):
    made = codec("neucodec")
    seconds = torch.arange(24000) / 24000
    tone = 0.3 * torch.sin(2 * torch.pi * 220 * seconds)
    assert made.encode([tone])[0].shape == (1, 50)
    assert made.encode([tone[:16000]], rate=16000)[0].shape == (1, 50)
    assert len(made.decode(made.encode([tone]))[0]) == 24000


def test_codes_do_not_depend_on_the_number_of_threads(codec):
    made, many = codec("xcodec2"), waves(codec("xcodec2"), 12, 9, 12)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = made.encode(many)
        torch.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(two, made.encode(many), strict=True))
    finally:
        torch.set_num_threads(before)


def test_pickled_weights_of_transformers_codecs_are_refused(folder, tmp_path):
    config = (folder("dac") / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"the codec .* does not load: .*safetensors"):
        load_codec(str(tmp_path))


def test_weights_of_another_shape_are_refused(tmp_path):
    config = save("dac", tmp_path) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"n_codebooks": 4}))
    with pytest.raises(CheckpointError, match=r"weights of the codec .* do not fit its config\.json: .*missing_keys"):
        load_codec(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("encodec_hf", {"normalize": True}, "expected EnCodec's mono model"),
        ("mimi", {"codebook_size": 17}, r"config\.json does not fit its model_type"),
        ("snac", {"sampling_rate": None}, "is no SNAC's"),
    ],
)
def test_an_impossible_configuration_is_refused(tmp_path, kind, change, message):
    if kind == "snac":
        pytest.importorskip("snac")
    config = save(kind, tmp_path) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load_codec(str(tmp_path))


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(CheckpointError, match="needs a package that is missing; run: pip install snac"):
        load_codec("hubertsiuzdak/snac_24khz")


@pytest.mark.parametrize("name", ["kyutai/mimi", "hubertsiuzdak/snac_24khz"])
def test_a_published_codec_that_cannot_be_fetched_is_named(monkeypatch, tmp_path, name):
    import huggingface_hub.constants

    if "snac" in name:
        pytest.importorskip("snac")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=f"codec {name} "):
        load_codec(name)


def test_every_published_codec_has_a_class():
    assert {facts.kind for facts in PUBLISHED_FACTS.values()} <= set(CODECS)


@pytest.mark.parametrize("kind", ["encodec_hf", "dac"])
def test_a_weight_that_is_not_finite_is_refused(tmp_path: Path, kind: str):
    model = MAKERS[kind]()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"1 of .* are not finite"):
        load_codec(str(tmp_path))
