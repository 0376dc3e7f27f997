import csv
import re
import shutil
import subprocess
import sys

import pytest
import soundfile
from typer.testing import CliRunner

from tasks.common import paths, schemas
from tasks.common.files import read_table
from tasks.prefer import __main__ as prefer
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
    done = run("export", "--iteration", 1, "--pairs", 3, "--out", "listening")
    assert done.exit_code == 0, done.output
    assert "3 pairs" in done.output
    assert sorted(p.name for p in (folder / "listening").iterdir()) == [
        ".gitignore", *(f"00{i}-{side}.flac" for i in (1, 2, 3) for side in "AB"), "vote.html", "votes.csv",
    ]  # fmt: skip
    sheet = folder / "listening/votes.csv"
    for row in csv.DictReader(sheet.read_text().splitlines()):
        for side in "AB":
            [sample] = [s for s in samples if s["id"] == row["id"] and str(s["draw"]) == row[side]]
            info = soundfile.info(folder / f"listening/{row['sounds']}-{side}.flac")
            assert info.frames == len(sample["tokens"]) * 40 and info.samplerate == 8000

    anna, ben = fill(sheet, "anna", lambda i: ["A", "B", "tie"][i]), fill(sheet, "ben", lambda i: ["A", "A", "tie"][i])
    write(folder / "votes.csv", anna + ben)
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 0, done.output
    assert "6 votes by 2 rater(s) on 3 pairs of sounds: 1 with a majority, 2 ties" in done.output
    assert "agreement: 67 % of the votes" in done.output and "warning" not in done.output

    sampled.configure(folder, source="votes", votes="votes.csv")
    prefer.main("1")
    [pair] = read_table(paths.pairs("1"), schemas.PAIRS)
    [sample] = [s for s in samples if s["id"] == anna[0]["id"] and str(s["draw"]) == anna[0]["A"]]
    assert (pair["id"], pair["chosen"], pair["chosen_seed"]) == (sample["id"], sample["tokens"], sample["seed"])


def test_help_names_both_commands_and_loads_no_torch():
    code = "import sys; from tasks.prefer.votes.__main__ import app; app(['--help'], standalone_mode=False); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert " export " in done.stdout and " check " in done.stdout
    assert done.stdout.endswith("False\n")


def test_the_same_seed_exports_the_same_test_and_another_seed_another(small):
    folder, _ = small
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("export", "--iteration", 1, "--pairs", 4, "--out", name, "--seed", seed, "--golden").exit_code == 0
    a, b, c = ({p.name: p.read_bytes() for p in (folder / name).iterdir()} for name in "abc")
    assert a == b
    assert a["votes.csv"] != c["votes.csv"]
    assert a["votes.csv"].count(b"golden") == 4


def test_an_export_never_replaces_a_folder_that_may_hold_votes(small, capsys):
    folder, _ = small
    (folder / "listening").mkdir()
    done = run("export", "--iteration", 1, "--out", "listening")
    assert done.exit_code == 1
    assert "exists and may hold votes" in done.output
    assert not list((folder / "listening").iterdir())


def test_check_refuses_votes_on_samples_that_are_gone(small):
    folder, _ = small
    assert run("export", "--iteration", 1, "--pairs", 2, "--out", "listening").exit_code == 0
    write(folder / "votes.csv", fill(folder / "listening/votes.csv", "anna", lambda _: "A"))
    shutil.copy(paths.samples("2"), paths.samples("1"))  # sampled again, by another policy
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 1
    assert "policy was" in done.output and "sample again with the seed" in done.output


def test_check_refuses_votes_on_an_iteration_that_params_yaml_does_not_have(small):
    folder, _ = small
    (folder / "votes.csv").write_text("id,A,B,choice,rater,iteration\nu0,0,1,A,anna,1\nu1,0,1,A,anna,l\n")
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 1
    assert 'votes.csv line 3: iteration is "l", but params.yaml has 1, 2' in done.output


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs a chromium on PATH")
def test_the_page_makes_a_sheet_that_check_accepts(small):
    folder, _ = small
    assert run("export", "--iteration", 1, "--pairs", 2, "--out", "listening").exit_code == 0
    page = (folder / "listening/vote.html").read_text()
    # A second script votes as a rater would, by keys, once each sound has ended, and shows the file that was saved.
    drive = """<script>
      HTMLMediaElement.prototype.play = function () { this.dispatchEvent(new Event("ended")); return {catch() {}}; };
      URL.createObjectURL = (blob) => { blob.text().then((text) => { document.body.replaceChildren(
        Object.assign(document.createElement("pre"), { id: "saved", textContent: text })); }); return "#"; };
      HTMLAnchorElement.prototype.click = () => {};
      const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
      document.getElementById("rater").value = 'Anna "A", the first';
      document.querySelector("#begin button").click();
      for (const key of ["b", "1", "2", "B", "1", "2", "t"]) press(key);  // the first b is refused: nothing was heard
      document.querySelector("#end .save").click();
    </script></body>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", drive)
    (folder / "driven.html").write_text(page)
    dom = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", (folder / "driven.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    saved = re.search(r'<pre id="saved">(.*?)</pre>', dom, re.DOTALL)
    assert saved, dom[-2000:]
    (folder / "votes.csv").write_text(saved[1])

    filled = list(csv.DictReader(saved[1].splitlines()))
    assert [row["choice"] for row in filled] == ["B", "tie"]
    assert {row["rater"] for row in filled} == {'Anna "A", the first'}
    done = run("check", "votes.csv", "--iteration", 1)
    assert done.exit_code == 0, done.output
    assert "2 votes by 1 rater(s) on 2 pairs of sounds: 1 with a majority, 1 ties" in done.output
    assert "warning" not in done.output and "no two raters" in done.output
