"""What DVC writes is read as it means it, and what we write is read so by DVC."""

from __future__ import annotations

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml

from tasks.common import yaml12

CONTENT = {
    "lr": 3e-05,
    "precision": "no",
    "answers": ["yes", "off", "~", "null", "true", ""],
    "1e3": {"prev": "0", "012": "0o17"},
    "numbers": [0.00003, 1e22, 3, -0.5, True, None],
    "b": 1,
    "a": "two\nlines: and # more",
    "long": "word " * 100,
    "accent": "é",
}


def test_what_dvc_writes_is_read_as_the_same():
    assert yaml12.loads(dumps_yaml(CONTENT)) == CONTENT


def test_what_is_written_dvc_reads_as_the_same_in_order():
    text = yaml12.dumps(CONTENT)
    assert parse_yaml(text, "params.yaml") == yaml12.loads(text) == CONTENT
    assert list(yaml12.loads(text)) == list(CONTENT)


@pytest.mark.parametrize(("text", "value"), [("3e-05", 3e-5), ("no", "no"), ("012", 12), ("1e3", 1e3), ("0o17", 15)])
def test_it_is_yaml_1_2(text, value):
    assert yaml12.loads(f"x: {text}") == {"x": value}
