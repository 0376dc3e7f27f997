"""Codes of many utterances as one column."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.common import schemas
from tasks.common.codes import codes_column
from tasks.common.files import DataError


def test_codes_come_back_and_none_wraps():
    codes = [np.array([[0, 32767, 32768], [5, 6, 65535]]), np.zeros((2, 0), int)]
    column = codes_column(codes)
    assert column.type == schemas.CODES.field("codes").type
    assert column.to_pylist() == [[[0, 32767, 32768], [5, 6, 65535]], [[], []]]
    for wrong in (65536, 1 << 20, -1):
        with pytest.raises(DataError, match=rf"{wrong}.*tables hold 0 to 65535"):
            codes_column([np.array([[0, wrong]])])
