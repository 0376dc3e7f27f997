"""A file of texts, one per line."""

from __future__ import annotations

import pytest

from model.spelling import Spelling
from tasks.common.files import DataError
from tasks.texts.lines import read_lines


def test_lines_are_spelled_as_the_policy_spells_them_and_counted_once(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffCoffee, isn't it?\r\n\n  one  two\r\nOne two.\n".encode())
    assert read_lines(path, "texts.long_file", Spelling()) == ["coffee isn't it", "one two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"texts\.long_file is .*texts\.txt, which is not a file; expected one text per line"),
        (b"", "holds no text"),
        (b"\n \n", "holds no text"),
        (b"caf\xe9", r"not text in UTF-8 \(byte 3\)"),
        (b"fine\nroom 7\n\n...\n", r"has 2 unusable line\(s\):\n  line 2: .*'7' in 'room 7'\n  line 4: "),
        (b"1\n" * 7, r"7 unusable line\(s\)(.*\n){6}  and 2 more\n"),
    ],
)
def test_unusable_files_are_refused_with_the_lines(tmp_path, content, message):
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_lines(path, "texts.long_file", Spelling())
