import pytest

from tasks.align import check
from tasks.files import DataError
from tests.tasks.aligning.pairs import pair


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no preference pairs"),
        ([pair(chosen=())], "pair u0 of iteration 1 has an empty side: 0 and 2 tokens"),
        ([pair(rejected=())], "has an empty side"),
        ([pair(rejected=(1, 2, 3))], "has two equal sides"),
        ([pair(chosen_logprob=float("nan"))], "expected finite numbers"),
    ],
)
def test_pairs_that_cannot_teach_are_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        check(pairs)
