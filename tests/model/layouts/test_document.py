"""docs/your-model.md: its layout and its Python do what it says."""

from __future__ import annotations

import re

import pytest

from model.errors import InputError
from model.layouts.layout import Layout
from model.layouts.spec import LayoutSpec, read_layout
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
