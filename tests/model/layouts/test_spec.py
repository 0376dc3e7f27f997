"""Reading a layout's file strictly: one message per fault, with the place in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from model.layouts.files import FOLDER, layout_file, read_layout, shipped
from model.layouts.spec import LayoutError

GOOD = {
    "text": "as_is",
    "context": "<s>{text}<speech>",
    "prompted": "<s>{prompt_text}{text}<speech>{prompt_codes}",
    "codes": {"token": "<c_{}>", "size": 8},
    "stop": ["</s>"],
}


def read(tmp_path: Path, content: object) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    read_layout(str(file))


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_layout_is_about_twelve_lines(name):
    assert read_layout(name)
    assert len((FOLDER / f"{name}.yaml").read_text().splitlines()) <= 18


def test_a_good_file_is_read(tmp_path):
    read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stops": ["</s>"]}, r"stops: unknown key; did you mean stop\?"),
        ({"codes": GOOD["codes"] | {"slot": [0]}}, r"codes\.slot: unknown key; did you mean slots\?"),
        ({"stop": []}, "stop: .*at least 1 item"),
        ({"stop": None}, "stop: .*valid list"),
        ({"codes": None}, "codes: "),
        ({"codes": {"token": "<c>"}}, r"codes: a token's pattern should have one \{\}, found '<c>'"),
        ({"codes": {"token": "<c_{}>", "size": "8"}}, "codes.size: .*valid integer, found '8'"),
        ({"codes": {"token": "<c_{}>", "size": 1}}, "codes.size: .*greater than 1, found 1"),
        ({"codes": {"token": "<c_{}>", "size": 8, "slots": [0, 2]}}, r"slots should name each level from 0 on"),
        ({"codes": {"token": "<c_{}>", "size": 8, "slots": []}}, "slots should name each level"),
        ({"codes": {"token": ["<c_{}>"], "size": 8, "slots": [0, 1]}}, r"one pattern per level \(2\), found 1"),
        ({"codes": {"token": "<c_{}>", "slots": [0, 0]}}, "size is needed with several slots"),
        ({"text": "upper_case"}, "text should be as_is, lower_case, spell_numbers or 'phonemes LANGUAGE'"),
        ({"text": "phonemes"}, "text should be"),
        ({"context": "<s>{words}"}, r"the template '<s>\{words\}' has \{words\}; expected globals, speaker, text"),
        ({"context": "<s>"}, r"has no \{text\}"),
        ({"context": "<s>{text}{text}"}, "each field once"),
        ({"context": "<s>{text"}, "is not well formed"),
        ({"context": "<s>{globals}{text}"}, "there is no block globals"),
        ({"context": {"assistant": "<s>", "user": "{text}"}}, "messages should end with the assistant's"),
        ({"context": None, "prompted": None}, "context or prompted is needed"),
        ({"prompted": "<s>{text}"}, r"neither \{prompt_codes\} nor \{prompt_words\}"),
        ({"completion": "{codes}{words}"}, r"either \{codes\} or \{words\}"),
        ({"completion": "<speech>"}, r"either \{codes\} or \{words\}"),
        ({"completion": "{words}"}, "there is no block word"),
        ({"completion": "{features}{codes}"}, "lists no features"),
        ({"word": {"template": "{word}{codes}"}}, "should begin <TOKEN>"),
        ({"word": {"template": "<w>{word}<c>{features}{codes}"}}, "the block has no features"),
        ({"codec": {"kind": "snac", "sample_rate": 24000, "frame_rate": 0}}, "codec.frame_rate: .*greater than 0"),
        ({"codec": {"kind": "snac", "sample_rate": 24000}}, "codec.frame_rate: Field required"),
        ({"decoding": {"top_p": 1.5}}, "decoding.top_p: .*less than or equal to 1"),
    ],
)
def test_an_impossible_file_is_refused_with_the_place(tmp_path, change, message):
    with pytest.raises(LayoutError, match=rf"mine\.yaml: .*{message}"):
        read(tmp_path, GOOD | change)


@pytest.mark.parametrize(("content", "message"), [("- a", "named fields, found list"), ("a: [", "is not YAML")])
def test_a_file_that_is_no_layout_is_refused(tmp_path, content, message):
    with pytest.raises(LayoutError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["nobody", "/nowhere/mine.yaml", "params.txt"])
def test_an_unknown_layout_names_the_shipped_ones(name):
    with pytest.raises(LayoutError, match=r"expected one of cosyvoice2, csm, .*or a YAML file"):
        layout_file(name)
