"""The stage on a tiny workspace: untrained policies, dev and test with both sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from tasks.common import paths, schemas, tracking
from tasks.common.files import read_table, write_json
from tasks.common.params import load
from tasks.common.scores import rows_at, table_of
from tasks.common.tracking.client import connect
from tasks.evaluate import __main__ as evaluate
from tests.tasks.register import tiny

DRAWS = 2
RECORDED, LONG = 6, 2  # texts of each set


def configure(folder: Path, **evaluation: Any) -> None:
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["compute"] |= {"device": "cpu", "threads": 1}
    content["evaluate"] |= {
        "draws": DRAWS,
        "dev_draws": DRAWS,
        "loop_draws": DRAWS,
        "temperatures": [0.5],
        "audio_samples": 2,
        **evaluation,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_mlflow_db: Path) -> Path:
    """A loop whose policies "0" and "1" are evaluated; the best decoding is not the loop's."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copy(empty_mlflow_db, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        tiny.params(folder, iterations=1)
        configure(folder)
        tiny.write_models(folder)
        tiny.write_recognizer(folder)
        for split in ("dev", "test"):
            tiny.write_split(folder, split, RECORDED, LONG)
        for path in (paths.codes, paths.cuts):
            shutil.copy(path("test"), path("train"))
        (paths.run("0") / "nar_curve.csv").write_text("step,loss\n1,5.0\n")
        first = tracking.start_loop(load())
        for k, ids in (("0", first), ("1", tracking.start_iteration("1", first, load()))):
            tiny.write_policy(folder, k, seed=int(k))
            write_json(paths.tracking(k), ids)
            evaluate.main(k)
    return folder


@pytest.fixture
def loop(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same as the current folder; its params.yaml may be changed."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{made}/mlflow.db")
    yield made
    configure(made)


def metrics(iteration: str) -> dict[str, Any]:
    return json.loads(paths.metrics(iteration).read_text())


def outputs() -> list[bytes]:
    return [path("0").read_bytes() for path in (paths.metrics, paths.dev, paths.utterances, paths.test_samples)]


def test_a_tracking_server_that_is_not_there_is_found_before_the_judging(
    loop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(evaluate, "choose", lambda *_: pytest.fail("it judges already"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before = outputs()
    with pytest.raises(SystemExit):
        evaluate.main("0")
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert outputs() == before


def test_every_text_is_drawn_and_judged_at_the_best_decoding_and_at_the_loops(loop: Path):
    found = metrics("0")
    assert [tried["temperature"] for tried in found["choice"]] == [0.5]
    assert set(found["choice"][0]) == {"temperature", "top_k", "top_p", "recorded", "long"}
    assert found["decoding"] == {
        "best": {"temperature": 0.5, "top_k": 0, "top_p": 1.0},
        "loop": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    }
    test = read_table(paths.utterances("0"), schemas.UTTERANCES)
    for decoding, temperature in (("best", 0.5), ("loop", 1.0)):
        for which, texts in (("recorded", RECORDED), ("long", LONG)):
            rows = rows_at(test, decoding, which)
            assert len(rows) == DRAWS * texts
            assert {row["temperature"] for row in rows} == {temperature}
            assert len({row["seed"] for row in rows}) == len(rows)
            assert {row["draw"] for row in rows} == set(range(DRAWS))
            assert all((row["golden_seconds"] is None) == (which == "long") for row in rows)
            table = table_of(found, decoding=decoding, set=which)
            assert (table["texts"], table["draws"]) == (texts, DRAWS)
            assert table["cut_off"] == sum(not row["finished"] for row in rows)
            assert ("duration_ratio" in table["all"]) == (which == "recorded")


def test_dev_is_judged_at_the_best_decoding_alone(loop: Path):
    dev = read_table(paths.dev("0"), schemas.UTTERANCES)
    assert len(dev) == DRAWS * (RECORDED + LONG)
    assert {row["decoding"] for row in dev} == {"best"}
    assert set(metrics("0")["scores"]["dev"]) == {"best"}
    test = {row["id"] for row in read_table(paths.utterances("0"), schemas.UTTERANCES)}
    assert not test & {row["id"] for row in dev}


def test_the_start_is_compared_with_nothing(loop: Path):
    assert set(metrics("0")["change"]) == {"entropy"}
    assert "versus_start" not in table_of(metrics("0"))


def test_an_iteration_is_compared_with_the_start_on_the_same_seeds(loop: Path):
    found = metrics("1")
    for split, decoding in (("dev", "best"), ("test", "best"), ("test", "loop")):
        for which in ("recorded", "long"):
            table, before = (table_of(m, split, decoding, which) for m in (found, metrics("0")))
            difference = table["all"]["wer"]["value"] - before["all"]["wer"]["value"]
            assert table["versus_start"]["wer"]["value"] == pytest.approx(difference)
            assert table["versus_previous"] == table["versus_start"]
    assert found["change"]["kl"] > 0
    assert 0 <= found["change"]["share"] <= 1


def test_results_are_logged_by_split_decoding_and_set(loop: Path):
    logged = connect().get_run(json.loads(paths.tracking("1").read_text())["run_id"]).data.metrics
    assert logged["test/best/long/all/wer"] == pytest.approx(table_of(metrics("1"))["all"]["wer"]["value"])
    assert logged["change/kl"] == pytest.approx(metrics("1")["change"]["kl"])


def test_the_gap_is_measured_on_the_loops_first_draws_of_recorded_texts(loop: Path):
    samples = read_table(paths.test_samples("0"), schemas.SAMPLES)
    assert [row["id"] for row in samples] == [row["id"] for row in read_table(paths.codes("test"), schemas.CODES)]
    assert {(row["temperature"], row["top_p"], row["draw"]) for row in samples} == {(1.0, 1.0, 0)}


def test_audio_is_kept_of_both_sets(loop: Path):
    kept = sorted(path.stem for path in paths.audio("0").iterdir())
    assert len(kept) == 4
    assert sum(name.endswith("-long") for name in kept) == 2
    judged = read_table(paths.utterances("0"), schemas.UTTERANCES)
    first = {row["id"]: row for row in judged if row["draw"] == 0 and row["decoding"] == "best"}
    for name in kept:
        assert soundfile.info(paths.audio("0") / f"{name}.flac").duration == pytest.approx(first[name]["seconds"])


def test_equal_decodings_are_sampled_once_and_shown_twice(loop: Path):
    configure(loop, temperatures=[1.0], draws=1)
    kept = outputs()
    evaluate.main("0")
    test = read_table(paths.utterances("0"), schemas.UTTERANCES)
    assert len(test) == RECORDED + LONG
    assert {row["decoding"] for row in test} == {"best"}
    scores = metrics("0")["scores"]["test"]
    assert scores["best"] == scores["loop"]
    for path, content in zip((paths.metrics, paths.dev, paths.utterances, paths.test_samples), kept, strict=True):
        path("0").write_bytes(content)


def test_a_voice_that_the_split_lacks_is_named(loop: Path, capsys: pytest.CaptureFixture[str]):
    rows = read_table(paths.texts("test"), schemas.TEXTS)
    tiny.write_texts("test", [{**rows[0], "prompt_id": "nobody"}])
    with pytest.raises(SystemExit):
        evaluate.main("1")
    tiny.write_texts("test", rows)
    assert "prompts a voice with 'nobody', which data/codes/test.parquet lacks" in capsys.readouterr().err
