"""The stage on a tiny workspace: untrained NAR, made-up tokens and judgements."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from model import nar, policy
from model.layouts.speech import Speech
from tasks.common import paths, schemas, tracking
from tasks.common.curves import read as read_curve
from tasks.common.files import DataError, read_table, write_json, write_table
from tasks.common.params import load
from tasks.common.tracking.client import connect
from tasks.gap import __main__ as gap
from tests.conftest import REPOSITORY

N, CODES, LEVELS = 30, 16, 3
START = policy.build(policy.ArShape(layers=1, width=16, heads=2), CODES)
LAYOUT = START.layout


def utterance(split: str, i: int, rng: np.random.Generator) -> dict:
    codes = rng.integers(0, CODES, (LEVELS, int(rng.integers(8, 20))))
    return {
        "id": f"{split}-{i}", "speaker": f"s{i % 3}", "text": "one", "seen": i % 3 > 0,
        "seconds": (codes.shape[1] - rng.random()) / 50, "codes": codes.tolist(),  # ends within its last frame
    }  # fmt: skip


def judged(row: dict, prompt: str, system: str, seconds: float, errors: int) -> dict:
    measured = {
        "id": row["id"], "system": system, "set": "recorded", "draw": 0, "decoding": "best",
        "speaker": row["speaker"], "seen": row["seen"], "text": row["text"],
        "prompt_id": prompt, "seed": 7, "finished": True, "hypothesis": "one", "word_errors": errors, "words": 1,
        "character_errors": errors, "characters": 3, "similarity": 0.8 - errors / 10, "seconds": seconds,
        "golden_seconds": row["seconds"],
    }  # fmt: skip
    return {name: measured.get(name) for name in schemas.UTTERANCES.names}


def write_samples(iteration: str, rows: list[dict], tokens: list[list[int]]) -> None:
    """Write what ``evaluate`` leaves of a policy that sampled ``tokens``."""
    prompts = [rows[(i + 3) % len(rows)]["id"] for i in range(len(rows))]
    write_table(
        paths.test_samples(iteration),
        [
            {
                "id": row["id"], "text": row["text"], "prompt_id": prompt, "draw": 0, "seed": 7,
                "tokens": LAYOUT.target(Speech.of(said), finished=False), "logprobs": [0.0], "behavior": [0.0],
                "finished": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "policy": "0",
                "max_frames_per_character": 12.0,
            }
            for row, prompt, said in zip(rows, prompts, tokens, strict=True)
        ],
        schemas.SAMPLES,
    )  # fmt: skip
    table = [
        judged(r, p, "policy", len(t) / 50, i % 2)
        for i, (r, p, t) in enumerate(zip(rows, prompts, tokens, strict=True))
    ]
    write_table(paths.utterances(iteration), table, schemas.UTTERANCES)
    golden = [judged(row, prompt, "golden_nar", row["seconds"], 0) for row, prompt in zip(rows, prompts, strict=True)]
    write_table(paths.CEILING / "utterances.parquet", golden, schemas.UTTERANCES)


def configure(dimensions: int) -> None:
    """The repository's params.yaml, with few resamples."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    content["gap"] |= {"dimensions": dimensions, "reference": 20, "permutations": 20}
    content["evaluate"]["bootstrap_samples"] = 100
    content["compute"] |= {"device": "cpu", "threads": 1}  # two threads of small models wait for one another
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def rows(tmp_path: Path, sqlite: str) -> list[dict]:
    """A workspace with an SFT policy that only ever says three codes, and iteration 1, which says golden tokens."""
    configure(dimensions=3)
    rng = np.random.default_rng(0)
    rows = [utterance("test", i, rng) for i in range(N)]
    write_table(paths.codes("test"), rows, schemas.CODES)
    write_table(paths.codes("train"), [utterance("train", i, rng) for i in range(N)], schemas.CODES)
    torch.manual_seed(0)
    nar.save(nar.Nar(nar.NarConfig(n_codebooks=LEVELS, codebook_size=CODES, layers=1, width=16, heads=2)), paths.NAR)
    policy.save(START, paths.ar("0"))
    write_samples("0", rows, [[c % 3 for c in row["codes"][0]] * 2 for row in rows])
    write_samples("1", rows, [row["codes"][0] for row in rows])
    params = load()
    first = tracking.start_loop(params)
    write_json(paths.tracking("0"), first)
    write_json(paths.tracking("1"), tracking.start_iteration("1", first, params))
    return rows


def content(iteration: str) -> dict:
    return json.loads(paths.gap(iteration).read_text())


def test_a_policy_that_says_golden_tokens_has_closed_the_gap(rows):
    gap.main("0")
    gap.main("1")
    before, after = content("0"), content("1")
    for name, least in (("frechet", 0.1), ("codes", 0.5), ("seconds", 0.1)):
        assert before["distances"][name]["value"] > least
        assert before["distances"][name]["p"] == 1 / 101
        assert after["distances"][name]["value"] == pytest.approx(0, abs=1e-9)
        assert after["versus_start"][name]["value"] == pytest.approx(-before["distances"][name]["value"])
        assert after["versus_start"][name]["high"] < 0
    assert before["classifier"]["value"] > 0.9
    assert after["classifier"]["value"] == 0.5
    assert "versus_start" not in before


def test_what_the_gap_costs_is_paired_with_golden_tokens(rows):
    gap.main("0")
    table = content("0")["table1"]
    assert table["golden"]["wer"]["value"] == 0
    assert table["difference"]["wer"]["value"] == pytest.approx(0.5)
    assert table["difference"]["similarity"]["value"] == pytest.approx(-0.05)


def test_points_and_codes_cover_both_systems(rows):
    gap.main("0")
    points = read_table(paths.gap_points("0"), schemas.GAP_POINTS)
    assert [p["system"] for p in points] == ["golden"] * N + ["synthetic"] * N
    assert {p["id"] for p in points} == {r["id"] for r in rows}
    codes = read_curve(paths.gap_codes("0"))
    assert len(codes) == CODES
    assert sum(c["golden"] for c in codes) == sum(len(r["codes"][0]) for r in rows)
    assert sum(c["synthetic"] for c in codes[3:]) == 0


def test_the_stage_is_deterministic(rows):
    written = []
    for _ in range(2):
        gap.main("1")
        written.append([f("1").read_bytes() for f in (paths.gap, paths.gap_points, paths.gap_codes)])
    assert written[0] == written[1]


def test_the_order_of_the_samples_changes_nothing(rows):
    gap.main("0")
    before = paths.gap("0").read_bytes()
    samples = read_table(paths.test_samples("0"), schemas.SAMPLES)
    write_table(paths.test_samples("0"), samples[::-1], schemas.SAMPLES)
    gap.main("0")
    assert paths.gap("0").read_bytes() == before


def test_utterances_without_tokens_are_counted(rows):
    write_samples("1", rows, [[] if i < 2 else row["codes"][0] for i, row in enumerate(rows)])
    gap.main("1")
    assert (content("1")["utterances"], content("1")["left_out"]) == (N - 2, 2)


def test_distances_are_logged_to_the_iterations_run(rows):
    gap.main("1")
    run = connect().get_run(json.loads(paths.tracking("1").read_text())["run_id"])
    assert run.data.metrics["gap/classifier_value"] == 0.5
    assert {f"gap/{name}" for name in ("frechet", "codes", "seconds")} <= run.data.metrics.keys()


def test_samples_of_another_test_set_are_refused(rows, monkeypatch):
    monkeypatch.setenv("SPEECHALIGN_DEBUG", "1")
    samples = read_table(paths.test_samples("1"), schemas.SAMPLES)
    write_table(paths.test_samples("1"), samples[1:], schemas.SAMPLES)
    with pytest.raises(DataError, match="differ in 1 utterances; run `evaluate` again"):
        gap.main("1")
    write_table(paths.test_samples("1"), [{**s, "seed": 8} for s in samples], schemas.SAMPLES)
    with pytest.raises(DataError, match="30 test utterances of iteration 1 were sampled with another prompt or seed"):
        gap.main("1")


def test_a_policy_with_empty_samples_is_noted_and_does_not_stop_the_loop(rows):
    write_samples("1", rows, [[] if i else row["codes"][0] for i, row in enumerate(rows)])
    gap.main("1")
    assert content("1")["why"] == "nothing was sampled for 29 of 30 utterances"
    assert read_table(paths.gap_points("1"), schemas.GAP_POINTS) == []


def test_a_test_set_too_small_is_a_clear_error(rows, capsys):
    configure(dimensions=16)
    few = rows[:12]
    write_table(paths.codes("test"), few, schemas.CODES)
    write_samples("0", few, [row["codes"][0] for row in few])
    with pytest.raises(SystemExit):
        gap.main("0")
    assert "24 vectors in two samples are too few for a Fréchet distance in 16 dimensions" in capsys.readouterr().err
    assert not paths.gap("0").exists()
