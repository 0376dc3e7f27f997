"""What is said of an unknown key."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from model.unknown_keys import instead, keys_at


class Inner(BaseModel):
    size: int = 1
    from_: str = Field("", alias="from")


class Outer(BaseModel):
    one: Inner | None = None
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    plain: int = 0


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("slot", ["size", "slots"], "did you mean slots?"),
        ("voice", ["size", "codec"], "expected one of codec, size"),
        ("voice", [], "nothing stands here"),
    ],
)
def test_the_nearest_name_is_proposed_or_all_are(name: str, known: list[str], message: str) -> None:
    assert instead(name, known) == message


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ([], ["one", "many", "named", "plain"]),
        (["one"], ["size", "from"]),
        (["many", 3], ["size", "from"]),
        (["named", "any"], ["size", "from"]),
        (["plain"], []),
    ],
)
def test_keys_are_those_of_the_block_at_a_place(place: list[str | int], keys: list[str]) -> None:
    assert keys_at(Outer, place) == keys
