"""Changed settings laid over the content of ``params.yaml``."""

from __future__ import annotations

import pytest

from tasks.common.params import ParamsError
from tasks.common.params.overlay import overlay


def base() -> dict:
    return {"seed": 17, "align": {"method": "dpo", "lr": 0.1}, "iterations": {"1": {"prev": "0"}}}


def test_only_what_differs_is_changed_and_returned():
    content = base()

    assert overlay(content, {"seed": 17, "align": {"method": "ipo"}}, "mine") == [("align.method", "dpo", "ipo")]
    assert content == base() | {"align": {"method": "ipo", "lr": 0.1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"align": {"methd": "ipo"}},
            r"mine sets align\.methd, which params.yaml does not have; did you mean method\?",
        ),
        ({"align": "ipo"}, "mine sets align to 'ipo', but params.yaml has"),
        ({"seed": {"a": 1}}, "mine sets seed to"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict, message: str):
    with pytest.raises(ParamsError, match=message):
        overlay(base(), changes, "mine")


def test_a_new_iteration_needs_leave():
    content, changes = base(), {"iterations": {"2": {"prev": "1"}}}
    with pytest.raises(ParamsError, match=r"iterations\.2"):
        overlay(content, changes, "mine")


def test_whole_iterations_leave_out_those_that_they_do_not_name():
    content = base() | {"iterations": {"1": {"prev": "0", "beta": 0.5}, "2": {"prev": "1"}}}
    changes = {"iterations": {"1": {"prev": "0"}, "3": {"prev": "1"}}}
    made = overlay(content, changes, "mine", whole_iterations=True)

    assert content["iterations"] == {"1": {"prev": "0", "beta": 0.5}, "3": {"prev": "1"}}
    assert made == [("iterations.2", {"prev": "1"}, "left out"), ("iterations.3", None, {"prev": "1"})]
