import csv
import json
import shutil
import subprocess
import sys

import pytest
import soundfile
from typer.testing import CliRunner

from tasks.common import paths, schemas
from tasks.common.files import read_table
from tasks.prefer import __main__ as prefer
from tasks.prefer.votes import key as keys
from tasks.prefer.votes.__main__ import app
from tests.conftest import REPOSITORY
from tests.tasks import sampled


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path, sampled.write(tmp_path)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fill(path, rater, choose):
    """The filled-in sheet as rows; ``choose`` gets a line's number."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for number, row in enumerate(rows):
        row["choice"], row["rater"] = choose(number), rater
    return rows


def write(path, rows):
    with path.open("w", newline="") as handle:
        table = csv.DictWriter(handle, rows[0])
        table.writeheader()
        table.writerows(rows)


def test_an_exported_test_filled_in_becomes_pairs(small):
    folder, samples = small
    done = run("export", "--iteration", 1, "--pairs", 3, "--out", "listening", "--warm-up", 0, "--checks", 0)
    assert done.exit_code == 0, done.output
    assert "3 pairs, 0 practice pairs, 0 attention checks" in done.output
    assert sorted(p.name for p in (folder / "listening").iterdir()) == [
        ".gitignore", *(f"00{i}-{side}.flac" for i in (1, 2, 3) for side in "AB"), "key.json", "sheet.csv", "vote.html",
    ]  # fmt: skip
    key = keys.read(folder / "listening")
    for trial in key.trials:
        for side in (trial.a, trial.b):
            [sample] = [s for s in samples if s["id"] == trial.id and str(s["draw"]) == side.label]
            info = soundfile.info(folder / "listening" / side.sound)
            assert info.frames == len(sample["tokens"]) * 40 and info.samplerate == 8000

    write(folder / "anna.csv", fill(folder / "listening/sheet.csv", "anna", lambda i: ["A", "B", "tie"][i]))
    write(folder / "ben.csv", fill(folder / "listening/sheet.csv", "ben", lambda i: ["A", "A", "tie"][i]))
    done = run("result", "listening", "anna.csv", "ben.csv", "--csv", "votes/1.csv", "--pairs", "pairs.jsonl")
    assert done.exit_code == 0, done.output
    assert (
        "6 votes by 2 raters, 2 ties among them" in done.output and "preferred in" not in done.output.split("left")[0]
    )
    done = run("check", "votes", "--iteration", 1)
    assert done.exit_code == 0, done.output
    assert "6 votes by 2 rater(s) on 3 pairs of sounds: 1 with a majority, 2 ties" in done.output
    assert "agreement: 67 % of the votes" in done.output and "warning" not in done.output

    sampled.configure(folder, source="votes", votes="votes")
    prefer.main("1")
    [pair] = read_table(paths.pairs("1"), schemas.PAIRS)
    first = key.trials[0]
    [sample] = [s for s in samples if s["id"] == first.id and str(s["draw"]) == first.a.label]
    assert (pair["id"], pair["chosen_seed"]) == (sample["id"], sample["seed"])
    assert pair["chosen"][: len(sample["tokens"])] == sample["tokens"]
    [line] = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    assert (line["id"], line["chosen"], line["votes_for"], line["votes"]) == (first.id, first.a.label, 2, 2)


def test_help_names_the_commands_and_loads_no_torch():
    code = "import sys; from tasks.prefer.votes.__main__ import app; app(['--help'], standalone_mode=False); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(f" {name} " in done.stdout for name in ("compare", "export", "serve", "result", "check"))
    assert done.stdout.endswith("False\n")


def test_the_same_seed_exports_the_same_test_and_another_seed_another(small):
    folder, _ = small
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("export", "--iteration", 1, "--pairs", 4, "--out", name, "--seed", seed, "--golden").exit_code == 0
    a, b, c = ({p.name: p.read_bytes() for p in (folder / name).iterdir()} for name in "abc")
    assert a == b
    assert a["key.json"] != c["key.json"]
    assert a["key.json"].count(b'"label": "golden"') >= 4


def test_an_export_never_replaces_a_folder_that_may_hold_votes(small, capsys):
    folder, _ = small
    (folder / "listening").mkdir()
    done = run("export", "--iteration", 1, "--out", "listening")
    assert done.exit_code == 3
    assert "exists and may hold votes" in done.output
    assert not list((folder / "listening").iterdir())


def test_check_refuses_votes_on_samples_that_are_gone(small):
    folder, _ = small
    assert run("export", "--iteration", 1, "--pairs", 2, "--out", "listening", "--checks", 0).exit_code == 0
    write(folder / "anna.csv", fill(folder / "listening/sheet.csv", "anna", lambda _: "A"))
    assert run("result", "listening", "anna.csv", "--csv", "votes.csv").exit_code == 0
    shutil.copy(paths.samples("2"), paths.samples("1"))  # sampled again, by another policy
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 3
    assert "policy was" in done.output and "sample again with the seed" in done.output


def test_check_refuses_votes_on_an_iteration_that_params_yaml_does_not_have(small):
    folder, _ = small
    (folder / "votes.csv").write_text("id,A,B,choice,rater,iteration\nu0,0,1,A,anna,1\nu1,0,1,A,anna,l\n")
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 3
    assert 'votes.csv line 3: iteration is "l", but params.yaml has 1, 2' in done.output
