import numpy as np
import pytest

from tasks.common.by_position import ByPosition


class Squares(ByPosition[int]):
    def __len__(self):
        return 5

    def at(self, index):
        assert type(index) is int and 0 <= index < 5
        return index * index


def test_items_are_found_as_those_of_a_list():
    squares, same = Squares(), [0, 1, 4, 9, 16]
    assert list(squares) == same and 9 in squares and list(reversed(squares)) == same[::-1]
    assert [squares[i] for i in (0, 4, -1, -5, np.int64(2))] == [0, 16, 16, 0, 4]
    for part in (slice(1, 3), slice(None, None, -2), slice(3, 99), slice(2, 2)):
        assert squares[part] == same[part]
    for index in (5, -6):
        with pytest.raises(IndexError):
            squares[index]
