import numpy as np
import pytest

from tasks.common.files import DataError
from tasks.common.prompts import Prompts

ROWS = [{"id": f"{s}{i}", "speaker": s} for s in "ab" for i in range(4)]


def test_a_prompt_is_another_utterance_by_the_same_speaker():
    prompts = Prompts(ROWS)
    for index, row in enumerate(ROWS):
        others = {prompts.other(index, np.random.default_rng(seed)) for seed in range(50)}
        assert others == {i for i, r in enumerate(ROWS) if r["speaker"] == row["speaker"] and i != index}


def test_evaluation_prompts_are_the_same_every_time():
    assert [Prompts(ROWS).fixed(i, 3) for i in range(8)] == [Prompts(ROWS).fixed(i, 3) for i in range(8)]


def test_a_speaker_with_one_utterance_is_refused():
    with pytest.raises(DataError, match=r"single utterance.*\['c'\]"):
        Prompts([*ROWS, {"id": "c0", "speaker": "c"}])
