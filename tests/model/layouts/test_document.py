"""docs/your-model.md: its layout and its Python do what it says."""

from __future__ import annotations

import re

import pytest

from model.errors import InputError
from model.layouts.files import read_layout
from model.layouts.layout import Layout
from model.layouts.spec import LayoutSpec
from model.layouts.speech import Speech, VoicePrompt
from tests.conftest import REPOSITORY
from tests.model.layouts.families import backend, make_tokenizer, numbered

DOCUMENT = (REPOSITORY / "docs/your-model.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    return next(code for code in re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) if containing in code)


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    """The document's thirteenth family, with a tokenizer that has its names."""
    folder = tmp_path_factory.mktemp("thirteenth")
    tokens = [*numbered("<custom_token_{}>", 10 + 7 * 4096), "<spk_anna>", "<spk_b-2>"]
    backend(tokens).save(str(folder / "tokenizer.json"))
    (folder / "mine.yaml").write_text(block("yaml", "spk_"))
    return Layout.load(str(folder / "mine.yaml"), folder)


@pytest.mark.parametrize("speaker", ["anna", "b-2"])
def test_the_thirteenth_family_is_written_and_read(layout, speaker):
    text = layout.tokenizer.decode(layout.context("on the other", VoicePrompt(speaker)))
    assert text == (f"<custom_token_3><spk_{speaker}> on the other<custom_token_4><custom_token_5><custom_token_1>")
    speech = Speech.of([5], [1, 2], [3, 4, 5, 6])
    assert layout.read(layout.target(speech)).speech == speech


def test_levels_with_tokens_of_their_own_need_no_offsets(tmp_path):
    tokens = [token for level in "abc" for token in numbered(f"<|{level}_{{}}|>", 4096)]
    tokens += ["<|turn|>", "<|audio|>", "<|audio_end|>", "<|turn_end|>"]
    backend(tokens).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "mine.yaml").write_text(block("yaml", "<|a_{}|>"))
    layout = Layout.load(str(tmp_path / "mine.yaml"), tmp_path)
    speech = Speech.of([5], [1, 3], [7, 2, 4, 6])
    written = layout.tokenizer.decode(layout.target(speech))
    assert written == "<|a_5|><|b_1|><|c_7|><|c_2|><|b_3|><|c_4|><|c_6|><|audio_end|>"
    assert layout.read(layout.target(speech)).speech == speech
    assert "`<|a_5|>`, `<|b_1|>`, `<|c_7|>`, `<|c_2|>`, `<|b_3|>`" in DOCUMENT


@pytest.mark.parametrize(
    ("speaker", "text", "message"),
    [
        ("bob", "on", "has no token <spk_bob>"),
        ("anna><custom_token_2", "on", "may hold no angle brackets"),
        ("anna", "on <spk_anna>", "holds the token <spk_anna>"),
    ],
)
def test_a_speaker_or_text_cannot_smuggle_tokens_in(layout, speaker, text, message):
    with pytest.raises(InputError, match=message):
        layout.context(text, VoicePrompt(speaker))


def test_the_python_of_the_document_runs(tmp_path):
    exec(block("python", "Layout.load"), {"FOLDER": make_tokenizer("orpheus", tmp_path)})


def test_the_template_has_each_line_that_most_families_need():
    spec = read_layout("template")
    assert spec.codec and spec.context and spec.prompted and spec.codes.size


def test_the_document_explains_every_field():
    assert all(f"`{name}`" in DOCUMENT for name in LayoutSpec.model_fields)
