"""Stage sample@k on a small policy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from model import policy
from model.layouts.files import layout_file
from tasks.common import params, paths, schemas
from tasks.common.files import DataError, open_table, read_table, write_table
from tasks.common.finished import check_finished, golden_instead, why_alike
from tasks.sample import __main__ as stage
from tests.model.test_vllm_server import serving, small_vllm
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


def test_samples_are_the_same_however_many_are_in_memory_at_a_time(small, monkeypatch, capsys):
    rows, said = drawn("1"), capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setattr(stage, "WAVE", 3)
    waves = drawn("1")

    with open_table(paths.samples("1")) as file:
        assert file.num_row_groups == 4
    assert capsys.readouterr().out.splitlines()[-1] == said
    rounded = ("logprobs", "behavior")  # a batch of other rows rounds otherwise
    assert [{k: v for k, v in row.items() if k not in rounded} for row in waves] == [
        {k: v for k, v in row.items() if k not in rounded} for row in rows
    ]
    for name in rounded:
        np.testing.assert_allclose(
            np.concatenate([r[name] for r in waves]), np.concatenate([r[name] for r in rows]), atol=1e-5
        )


def test_each_iteration_draws_texts_of_its_own(small):
    first, second = ([row["id"] for row in drawn(iteration)] for iteration in "12")
    assert first != second


def test_a_pool_with_unknown_voice_prompts_is_refused(small, capsys):
    write_table(paths.texts("train"), [POOL[0] | {"prompt_id": "gone"}], schemas.TEXTS)
    with pytest.raises(SystemExit):
        stage.main("1")
    assert "names voice prompts that train lacks: ['gone']; run `texts`" in capsys.readouterr().err


def test_samples_that_were_all_cut_off_stop_the_stage_with_what_would_help(small, capsys):
    content = yaml.safe_load((small / "params.yaml").read_text())
    content["decoding"]["max_frames_per_character"] = 0.1  # one frame each
    paths.samples("1").unlink()
    (small / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit):
        stage.main("1")
    assert "12 of 12 samples were cut off at 0.1 frames per character; raise decoding" in capsys.readouterr().err
    assert not paths.samples("1").exists()


@pytest.mark.parametrize(
    ("cut_off", "source", "outcome"),
    [(5, "own_samples", ""), (7, "own_samples", "warning"), (12, "golden", "warning"), (12, "likelihood", "error")],
)
def test_cut_off_samples_are_told_as_far_as_they_matter(small, capsys, cut_off, source, outcome):
    loaded = params.load()
    loaded = loaded.model_copy(update={"prefer": loaded.prefer.model_copy(update={"source": source})})
    finished = [False] * cut_off + [True] * (12 - cut_off)
    if outcome == "error":
        with pytest.raises(DataError, match=r"12 of 12 samples were cut off .* prefer\.source likelihood chooses none"):
            check_finished(finished, loaded)
    else:
        check_finished(finished, loaded)
        assert ("of 12 samples were cut off at" in capsys.readouterr().err) == bool(outcome)


@pytest.mark.parametrize(
    ("finished", "wers", "advice"),
    [
        ([False, False], [1.0, 1.0], "all 2 samples were cut off .*: raise decoding.max_frames_per_character"),
        ([True, False], [1.0, 2.5], "no sample of 2 has fewer errors .*: start from a policy that reads its texts"),
        ([True, True], [0.0, 0.0], None),
        ([True, False], [0.5, 1.0], None),
    ],
)
def test_where_all_samples_fail_alike_the_advice_is_about_that(small, finished, wers, advice):
    found = why_alike(finished, wers, params.load())
    assert found is advice if advice is None else re.search(advice, found)


@pytest.mark.parametrize(("texts", "said"), [("corpus", "golden"), ("digits", "golden and texts.sample to corpus")])
def test_an_untrained_policy_can_be_tried_with_recordings(small, texts, said):
    loaded = params.load()
    loaded = loaded.model_copy(update={"texts": loaded.texts.model_copy(update={"sample": texts})})
    advice = f"; to try the loop with an untrained policy, set prefer.source to {said}"
    assert golden_instead(loaded) == advice
    layout = paths.ar("0") / "layout.yaml"
    layout.write_text(layout_file("outetts").read_text())  # no recording's words are aligned
    assert golden_instead(loaded) == ""


def test_a_server_of_the_policy_gives_the_same_samples(small):
    own = drawn("1")
    served, content = policy.load(paths.ar("0")).model, yaml.safe_load((small / "params.yaml").read_text())
    with serving(small_vllm(served, [])) as url:
        content["sample"]["engine"] = url
        (small / "params.yaml").write_text(yaml.safe_dump(content))
        for a, b in zip(own, drawn("1"), strict=True):
            assert all(a[name] == b[name] for name in ("id", "draw", "seed", "tokens", "finished", "stop"))
            assert b["logprobs"] == pytest.approx(a["logprobs"], abs=1e-5)


def test_a_server_that_is_not_there_is_one_message_and_nothing_is_written(small, capsys):
    content = yaml.safe_load((small / "params.yaml").read_text())
    paths.samples("1").unlink()
    content["sample"]["engine"] = "http://127.0.0.1:9"
    (small / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit):
        stage.main("1")
    assert "http://127.0.0.1:9/v1/models cannot be reached" in capsys.readouterr().err
    assert not paths.samples("1").exists()
