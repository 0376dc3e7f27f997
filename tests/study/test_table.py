"""Every row of the study's table against the right SFT policy and the right control."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from study import table
from study.arms import load
from tasks.common import schemas
from tasks.common.files import write_table
from tests.tasks.register.tiny import judged

ARM = {"group": "seeds", "first": 1, "last": 3, "pairs": "own", "share": 1.0, "own": "nothing", "after": "runs"}
SEED = {**ARM, "title": "seed 18", "own": "corpus", "set": {"seed": 18}}
AFTER_SEED = {**ARM, "after": "study/results/seed_18"}
CONTINUED, IPO = {"align": {"method": "sft"}}, {"align": {"method": "ipo"}}
ARMS = {
    "continued_sft_3": {**ARM, "title": "continued SFT", "group": "sources", "set": CONTINUED},
    "seed_18": SEED,
    "seed_18_sft": {**AFTER_SEED, "title": "seed 18: continued SFT", "set": CONTINUED},
    "seed_18_ipo": {**AFTER_SEED, "title": "seed 18: IPO", "set": IPO},
}


def write(folder: Path, wer: float) -> list[dict]:
    rows = judged(40, wer=wer)
    write_table(folder / "utterances.parquet", rows, schemas.UTTERANCES)
    return rows


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    Path("study/params.yaml").write_text(yaml.safe_dump({"arms": ARMS}))
    results = Path("study/results")
    return {
        "sft": write(Path("runs/0"), 0.3),
        "main": write(Path("runs/3"), 0.1),
        "continued": write(results / "continued_sft_3/3", 0.35),
        "seed's sft": write(results / "seed_18/0", 0.5),
        "seed": write(results / "seed_18/3", 0.2),
        "seed's continued": write(results / "seed_18_sft/3", 0.45),
        "seed's ipo": write(results / "seed_18_ipo/3", 0.15),
    }


def test_a_seeds_rows_are_compared_with_that_seeds_own_loop(made):
    rows = {entry.title: entry for entry in table.entries()["seeds"]}
    assert rows["main loop: iteration 3"].sft == made["sft"]
    assert rows["main loop: iteration 3"].control == made["continued"]
    for title, judgements in (
        ("seed 18: SFT", "seed's sft"),
        ("seed 18: iteration 3", "seed"),
        ("seed 18: continued SFT", "seed's continued"),
        ("seed 18: IPO", "seed's ipo"),
    ):
        assert rows[title].rows == made[judgements]
        assert rows[title].sft == made["seed's sft"]
        assert rows[title].control == made["seed's continued"]


def test_a_control_that_has_not_run_leaves_its_column_empty(made):
    Path("study/results/seed_18_sft/3/utterances.parquet").unlink()
    [entry] = [entry for entry in table.entries()["seeds"] if entry.title == "seed 18: iteration 3"]
    cells = [cell.strip() for cell in table.line(entry, "7.2, 0.87", 50, 0).strip("|").split("|")]
    assert cells[-2:] == ["–", "7.2, 0.87"]
    assert cells[1].startswith(f"{100 * sum(r['word_errors'] for r in made['seed']) / 120:.1f} [")
    assert cells[6].startswith("-")  # better than its own SFT


def test_every_number_of_the_paper_has_its_row(monkeypatch, tmp_path):
    file = Path("study/params.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    Path("study/params.yaml").symlink_to(file)
    for k in ("0", "1", "2", "3"):
        write(Path(f"runs/{k}"), 0.3)
    for name, arm in load(file).items():
        write(Path(f"study/results/{name}/{arm.last}"), 0.2)
        if arm.own != "nothing":
            write(Path(f"study/results/{name}/0"), 0.3)
    shown = {(group, entry.title) for group, entries in table.entries("main loop").items() for entry in entries}
    assert set(table.PAPER_NUMBERS) <= shown
    assert ("strength", "main loop") in shown
