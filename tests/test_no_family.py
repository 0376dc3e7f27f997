"""A family of models is known by its layout alone: no stage, flow or trainer knows its name."""

from __future__ import annotations

import re

import pytest

from model.layouts.files import shipped
from tests.conftest import REPOSITORY

OURS = {"own", "own_transcript", "template"}
FAMILIES = sorted(set(shipped()) - OURS)
PLACES = ("tasks", "flows", "study", "serving", "model/objectives", "model/pairs", "model/fast", "model/*.py")


@pytest.mark.parametrize("place", PLACES)
def test_no_family_is_named_outside_of_its_layout(place):
    files = [f for found in REPOSITORY.glob(place) for f in ([found] if found.is_file() else found.rglob("*.py"))]
    assert files and len(FAMILIES) > 5
    name = re.compile(rf"\b({'|'.join(FAMILIES)})\b", re.IGNORECASE)
    assert name.search("an Orpheus checkpoint")
    named = [f"{f.relative_to(REPOSITORY)}: {m.group()}" for f in files if (m := name.search(f.read_text("utf-8")))]
    assert not named
