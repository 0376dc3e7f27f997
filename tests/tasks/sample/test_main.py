"""Stage sample@k on a small policy."""

from __future__ import annotations

import pytest
import yaml

from model import policy
from tasks.common import paths, schemas
from tasks.common.files import read_table, write_table
from tasks.sample import __main__ as stage
from tests.tasks import sampled

POOL = [
    {"id": f"text-{i}", "text": text, "speaker": f"s{i % 2}", "seen": True, "prompt_id": f"u{i % 4}"}
    for i, text in enumerate(["one", "one two", "two", "six", "six two", "two one"])
]


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sampled.write(tmp_path)
    content = yaml.safe_load((tmp_path / "params.yaml").read_text())
    content["sample"] = {"prompts": 4, "draws": 3}
    content["decoding"] |= {"temperature": 0.8, "top_p": 0.9}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    write_table(paths.texts("train"), POOL, schemas.TEXTS)
    return tmp_path


def drawn(iteration):
    stage.main(iteration)
    return read_table(paths.samples(iteration), schemas.SAMPLES)


def test_all_draws_of_a_text_are_of_one_temperature_and_carry_its_text(small):
    rows = drawn("1")

    assert [row["draw"] for row in rows] == [0, 1, 2] * 4
    assert len({row["id"] for row in rows}) == 4
    texts = {text["id"]: text for text in POOL}
    for row in rows:
        assert (row["text"], row["prompt_id"]) == (texts[row["id"]]["text"], texts[row["id"]]["prompt_id"])
        assert (row["temperature"], row["top_k"], row["top_p"]) == (0.8, 0, 0.9)
        assert row["policy"] == policy.digest(paths.ar("0"))
    assert len({row["seed"] for row in rows}) == 12
    assert drawn("1") == rows


def test_each_iteration_draws_texts_of_its_own(small):
    first, second = ([row["id"] for row in drawn(iteration)] for iteration in "12")
    assert first != second


def test_a_pool_with_unknown_voice_prompts_is_refused(small, capsys):
    write_table(paths.texts("train"), [POOL[0] | {"prompt_id": "gone"}], schemas.TEXTS)
    with pytest.raises(SystemExit):
        stage.main("1")
    assert "names voice prompts that train lacks: ['gone']; run `texts`" in capsys.readouterr().err
