"""Facts about codecs without their weights."""

import subprocess
import sys

import pytest

from model.codecs.encodec import PUBLISHED_MODELS
from model.codecs.facts import PUBLISHED_FACTS, codec_facts, published
from model.codecs.registry import CODECS
from model.errors import CheckpointError


def test_published_codecs_are_known_without_loading_them():
    assert {name: codec_facts(name).sample_rate for name in PUBLISHED_MODELS} == {"encodec_24khz": 24000}
    assert all(facts.kind in CODECS for facts in PUBLISHED_FACTS.values())


@pytest.mark.parametrize(
    ("kind", "rate", "name"),
    [
        ("dac", 44100, "descript/dac_44khz"),
        ("dac", 24000, "descript/dac_24khz"),
        ("neucodec", 16000, "neuphonic/neucodec"),
    ],
)
def test_a_layouts_codec_is_known_by_kind_and_rate(kind, rate, name):
    assert published(kind, rate) == name
    assert published("unheard of", rate) is None


def test_facts_need_no_torch():
    code = "import sys, model.codecs.facts; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("content", ['{"model_type": "encodec"}', '{"sample_rate": "16000"}', "{}"])
def test_a_config_without_a_rate_is_an_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="should name a positive sample_rate, but has"):
        codec_facts(str(tmp_path))


@pytest.mark.parametrize(("content", "message"), [("{", "is not JSON"), ("[]", "should hold named fields")])
def test_a_damaged_config_is_an_error(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        codec_facts(str(tmp_path))
