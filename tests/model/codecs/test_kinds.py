"""What ``codec.kind`` of a layout may be."""

from __future__ import annotations

import re

import pytest

from model.codecs.facts import PUBLISHED_FACTS
from model.codecs.kinds import check_kind, described, kinds, layout_kind
from model.codecs.registry import CODECS
from model.errors import InputError
from model.layouts.files import read_layout, shipped
from tests.conftest import REPOSITORY
from tests.model.codecs import voiced

OF_OTHER_PACKAGES = {"bicodec", "s3tokenizer_v2"}


def test_kinds_are_those_of_the_registry_as_layouts_name_them():
    assert {layout_kind(kind) for kind in CODECS} == set(kinds())
    named = {spec.codec.kind for spec in map(read_layout, shipped()) if spec.codec}
    assert named - set(kinds()) == OF_OTHER_PACKAGES


def test_every_published_codec_stands_in_its_kinds_line():
    lines = {line.split()[0]: line for line in described()}
    assert all(name in lines[layout_kind(facts.kind)] for name, facts in PUBLISHED_FACTS.items())


def test_the_document_has_the_list_that_is_printed():
    document = (REPOSITORY / "docs/your-model.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```text\n\$ speechalign layout list --codecs\n(.*?)```", document, re.DOTALL)
    assert shown.splitlines() == [line for line in described() if not line.endswith("of an installed package")]


@pytest.mark.parametrize("kind", ["snacs", "bicodec"])
def test_an_unknown_kind_is_refused_with_what_there_is(kind):
    with pytest.raises(
        InputError, match=rf"mine: codec\.kind is '{kind}', .*; expected one of dac, encodec, mimi, neuco"
    ):
        check_kind(kind, "mine")


def test_a_kind_of_an_installed_package_is_one_more(tmp_path, monkeypatch):
    voiced.install({"bicodec": voiced.TINY}, tmp_path / "site", monkeypatch)
    check_kind("bicodec", "mine")
    assert "bicodec   of an installed package" in described()
