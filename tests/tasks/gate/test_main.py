"""``speechalign gate`` from end to end: exit statuses, outputs, and what it needs."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from flows import cli
from model.errors import InputError
from tasks.gate import run
from tasks.gate.heartbeat import Heartbeat
from tasks.gate.judges import Named
from tests.model.judges.test_guarded import write_ctc, write_wavlm
from tests.tasks.gate.conftest import EMBEDDED

PROJECT = Path(__file__).parents[3]
embedded = pytest.mark.skipif(not (EMBEDDED / "model.safetensors").is_file(), reason="checkpoints/whisper is not here")
JUDGES = ["--recognizer", str(EMBEDDED), "--second", "none", "--resamples", "1000"]


def gate(*arguments: object):
    return CliRunner().invoke(cli.app, ["gate", *map(str, arguments)], prog_name="speechalign")


@embedded
def test_two_folders_to_a_verdict_a_page_and_json(spoken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no repository here
    pytest.importorskip("speechmos")
    page = tmp_path / "pages" / "gate.html"
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv", "--prompts", spoken / "prompts", *JUDGES,
                "--out", page, "--json", "--margin", "mos=0.2")  # fmt: skip
    assert done.exit_code in (1, 2), done.output
    found = json.loads(done.stdout)
    assert {0: "better", 1: "worse", 2: "not shown"}[done.exit_code] == found["answer"]
    assert len(found["recordings"]) == 4 + 8 and found["draws"] == {"a": 1, "b": 2}
    measures = found["comparisons"][0]["measures"]
    assert {"wer", "folded_wer", "cer", "similarity", "mos", "f0_spread", "words_per_second", "seconds", "silence",
            "failed", "unjudged"} <= set(measures)  # fmt: skip
    assert measures["wer"]["before"] <= 0.2 and measures["similarity"]["before"] > 0.6
    assert found["judges"]["second_recognizer"] is None
    text = page.read_text()
    assert text.count("<article") == 4 and text.count('<audio controls preload="none" src="data:audio/flac') == 12
    assert "http" not in text.replace("http-equiv", "") and "Voice prompt" in text


@embedded
def test_faults_of_files_are_counted_listed_and_never_skipped(spoken, tmp_path):
    folder = tmp_path / "after"
    shutil.copytree(spoken / "a", folder)
    (folder / "t0.flac").unlink()
    (folder / "t1.flac").write_bytes(b"broken")
    soundfile.write(folder / "t2.flac", np.zeros(16000), 16000)
    (folder / "stranger.flac").write_bytes(b"")
    done = gate(spoken / "a", folder, "--texts", spoken / "texts.csv", "--no-mos", "--json", *JUDGES)
    assert done.exit_code in (1, 2), done.output
    found = json.loads(done.stdout)
    rows = [row for row in found["recordings"] if row["system"] == "after"]
    assert [row["problem"].split(":")[0] for row in rows] == [
        "missing audio", "unreadable audio", "silent audio", ""
    ]  # fmt: skip
    assert [row["word_errors"] for row in rows[:3]] == [row["words"] for row in rows[:3]]
    notes = "\n".join(found["notes"])
    assert "of no text: 1 file of after (stranger.flac)" in notes
    assert "without a recording by after: 1 text (t0)" in notes
    assert "3 of 4 recordings of after failed: 1 missing audio (t0), 1 unreadable audio (t1.flac), 1 silent" in notes
    assert "no voice prompts, so similarity is left out" in notes
    assert found["comparisons"][0]["measures"]["failed"]["after"] == 0.75
    assert found["judges"]["similarity"] is None  # without voice prompts it judged nothing


@embedded
def test_texts_without_a_voice_prompt_are_left_out_of_similarity_alone_and_named(spoken, tmp_path):
    for text in ("t0", "t1", "t2"):
        shutil.copy(spoken / "prompts" / "m1.wav", tmp_path / f"{text}.prompt.wav")
    texts = write_texts(tmp_path, "id,text\nt0,Seven two nine\nt1,One (loud) four\nt2,Three eight five\nt3,Zero six\n")
    done = gate(spoken / "a", spoken / "a", "--texts", texts, "--prompts", tmp_path, "--no-mos", "--json", *JUDGES)
    assert done.exit_code == 2, done.output
    found = json.loads(done.stdout)
    assert found["comparisons"][0]["sentence"].startswith("not shown: too few texts: of 4 texts")
    assert found["comparisons"][0]["measures"]["wer"]["difference"] == {"value": 0, "low": None, "high": None}
    assert [row["similarity"] is None for row in found["recordings"][:4]] == [False] * 3 + [True]
    notes = "\n".join(found["notes"])
    assert "without a voice prompt: 1 text (t3), left out of similarity" in notes
    assert "words in brackets: 1 text (t1); Whisper's normalizer leaves them out" in notes
    assert f"{spoken / 'a'} and {spoken / 'a'} (2) are one folder, so they can't differ" in notes
    assert found["judges"]["similarity"] == "Resemblyzer"


@embedded
def test_models_of_transformers_are_the_second_recognizer_and_measure_of_voice(spoken, tmp_path):
    for name in ("ctc", "wavlm"):
        (tmp_path / name).mkdir()
    named = Named(str(EMBEDDED), str(write_ctc(tmp_path / "ctc")), str(write_wavlm(tmp_path / "wavlm")), False, "cpu")
    material = run.read(str(spoken / "texts.csv"), [str(spoken / "a")], str(spoken / "prompts"))
    found = run.judge(material, named)
    assert (found.judges["second_recognizer"], found.judges["second_similarity"]) == ("CTC model ctc", "wavlm")
    for row in found.rows[0]:
        assert row["held_out_hypothesis"] is not None and row["held_out_word_errors"] > 0
        assert -1 <= row["held_out_similarity"] <= 1 and row["held_out_similarity"] != row["similarity"]


@embedded
def test_everything_may_be_on_s3(spoken, tmp_path, s3_server, monkeypatch):
    monkeypatch.setenv("SPEECHALIGN_CACHE", str(tmp_path))
    client = s3_server.client()
    client.create_bucket(Bucket="gate")
    for file in spoken.rglob("*.*"):
        client.put_object(Bucket="gate", Key=f"run/{file.relative_to(spoken).as_posix()}", Body=file.read_bytes())
    places = [f"s3://gate/run/{name}" for name in ("a", "b", "texts.csv", "prompts")]
    done = gate(*places[:2], "--texts", places[2], "--prompts", places[3], "--no-mos", "--json", *JUDGES)
    assert done.exit_code in (1, 2), done.output
    found = json.loads(done.stdout)
    assert len(found["recordings"]) == 12 and not any(row["problem"] for row in found["recordings"])
    assert list(found["draws"]) == ["a", "b"] and found["comparisons"][0]["measures"]["similarity"]["pairs"] == 8


@embedded
def test_a_job_summary_for_github(spoken, tmp_path, monkeypatch):
    summary, outputs = tmp_path / "summary.md", tmp_path / "output"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    done = gate(spoken / "a", spoken / "a", "--texts", spoken / "texts.csv", "--no-mos", "--github", *JUDGES)
    assert done.exit_code == 2, done.output
    assert summary.read_text().startswith("## ➖ speechalign gate: not shown")
    assert "| WER % | " in summary.read_text()
    assert outputs.read_text() == "answer=not shown\n"
    assert "Not shown: too few texts: of 4 texts nothing can be told from chance" in done.output.replace("\n", " ")


@embedded
def test_nothing_from_outside_can_get_a_script_into_the_page(spoken, tmp_path):
    hostile = "</script><script>alert(1)</script>"
    for name in ("[bold]a", "<img src=x onerror=alert(2)>"):
        (tmp_path / name).mkdir()
        for text in ("t0", "t1"):
            shutil.copy(spoken / "a" / f"{text}.flac", tmp_path / name)
    texts = write_texts(tmp_path, f"id,text\nt0,Seven {hostile}\nt1,One four\n")
    page, systems = tmp_path / "gate.html", [tmp_path / "[bold]a", tmp_path / "<img src=x onerror=alert(2)>"]
    done = gate(*systems, "--texts", texts, "--no-mos", "--out", page, *JUDGES)
    assert done.exit_code in (1, 2) and "[bold]a" in done.output, done.output
    content = page.read_text()
    assert "<script>alert" not in content and "<img src=x" not in content
    assert "Seven &lt;/script&gt;" in content and content.count("<script") == 2


def write_texts(root: Path, content: str) -> Path:
    (root / "texts.csv").write_text(content)
    return root / "texts.csv"


BAD = {
    "no folder": (["{a}", "nowhere", "--texts", "{texts}"], "expected a folder of recordings"),
    "a file as a folder": (["{texts}", "{a}", "--texts", "{texts}"], "expected a folder of recordings"),
    "an empty folder": (["{a}", "{empty}", "--texts", "{texts}"], "holds no recordings"),
    "no texts": (["{a}", "{b}", "--texts", "nowhere.csv"], "does not exist"),
    "texts that are audio": (["{a}", "{b}", "--texts", "{a}/t0.flac"], "is not UTF-8 text"),
    "a folder without texts": (["{a}", "{b}", "--texts", "{empty}"], "holds 0 lists of texts"),
    "other texts": (["{a}", "{b}", "--texts", "{other}"], "belongs to a text"),
    "no prompts folder": (["{a}", "{b}", "--texts", "{texts}", "--prompts", "nowhere"], "expected a folder"),
    "no prompt of a text": (
        ["{a}", "{b}", "--texts", "{texts}", "--prompts", "{empty}"],
        "prompt of none of the 4 texts",
    ),
    "a broken prompt": (["{a}", "{b}", "--texts", "{texts}", "--prompts", "{broken}"], "a voice prompt, can't be used"),
    "an unknown margin": (["{a}", "{b}", "--texts", "{texts}", "--margin", "pitch=1"], "expected one of wer"),
    "a margin without a value": (["{a}", "{b}", "--texts", "{texts}", "--margin", "wer"], "expected a number"),
    "an unknown recognizer": (["{a}", "{b}", "--texts", "{texts}", "--recognizer", "x"], "x holds no recognizer"),
    "an unknown device": (["{a}", "{b}", "--texts", "{texts}", "--device", "tpu"], "expected auto, cpu or cuda"),
    "a folder to write": (
        ["{a}", "{b}", "--texts", "{texts}", "--out", "{empty}"],
        "expected a file that can be written",
    ),
    "a place without a file system": (["{a}", "{b}", "--texts", "{texts}", "--out", "/proc/g.html"], "can be written"),
    "a file above the page": (["{a}", "{b}", "--texts", "{texts}", "--out", "{texts}/gate.html"], "can be written"),
    "a name too long for a file": (["{a}", "{b}", "--texts", "{texts}", "--out", "x" * 300], "can be written"),
    "no --texts": (["{a}", "{b}"], "--texts"),
    "one folder": (["{a}", "--texts", "{texts}"], "Missing argument"),
    "three folders": (["{a}", "{b}", "{a}", "--texts", "{texts}"], "unexpected extra argument"),
    "an unknown option": (["{a}", "{b}", "--texts", "{texts}", "--colour"], "No such option"),
    "too few resamples": (["{a}", "{b}", "--texts", "{texts}", "--resamples", "5"], "1000"),
    "an empty name": (["", "{b}", "--texts", "{texts}"], "name is empty"),
    "one folder in the other": (["{b}", "{b}/draws", "--texts", "{texts}"], "would count for both systems"),
    "the other in the one": (["{b}/draws", "{b}", "--texts", "{texts}"], "would count for both systems"),
    "a page over the texts": (["{a}", "{b}", "--texts", "{texts}", "--out", "{texts}"], "is an input of this"),
    "a page over a recording": (["{a}", "{b}", "--texts", "{texts}", "--out", "{a}/t0.flac"], "is an input of this"),
    "a text of remarks alone": (["{a}", "{b}", "--texts", "{remarks}"], "no reference words in t0"),
    "a table by similarity without prompts": (
        ["table", "{a}", "{b}", "--texts", "{texts}", "--by", "similarity"],
        "not measured without voice prompts",
    ),
    "a table by MOS without it": (
        ["table", "{a}", "{b}", "--texts", "{texts}", "--by", "mos", "--no-mos"],
        "not measured without --mos",
    ),
    "a bad location": (["s3://", "{b}", "--texts", "{texts}"], "is not an S3 location"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message_and_status_3(spoken, tmp_path, name):
    arguments, message = BAD[name]
    places = {name: spoken / name for name in ("a", "b", "prompts")} | {"texts": spoken / "texts.csv"}
    for folder in ("empty", "broken"):
        (tmp_path / folder).mkdir()
        places[folder] = tmp_path / folder
    for voice in ("m1", "f2"):
        (tmp_path / "broken" / f"{voice}.wav").write_bytes(b"RIFF")
    places["other"] = write_texts(tmp_path, "id,text\nz,One\n")
    (tmp_path / "remarks.csv").write_text("id,text\nt0,[laughs] (loud)\nt1,One four\n")
    places["remarks"] = tmp_path / "remarks.csv"
    done = gate(*(str(argument).format(**places) for argument in arguments))
    assert done.exit_code == 3, done.output
    assert message in " ".join(done.output.replace("│", " ").split()), done.output
    assert "Traceback" not in done.output


def test_draws_that_can_not_be_paired_are_refused_before_the_judging():
    run.check_draws([2, 4, 7])
    with pytest.raises(InputError, match="the systems have 1 and 250 draws per text, which can't be paired"):
        run.check_draws([1, 250])


def test_a_prompt_that_is_named_and_not_there_is_told_before_the_judging(spoken, tmp_path, capsys):
    (tmp_path / "meta.lst").write_text("t0|four|p/m1.wav|Seven two nine\n")
    run.read(str(tmp_path / "meta.lst"), [str(spoken / "a")], None)
    assert "warning: 1 voice prompt named in" in capsys.readouterr().err


def test_where_there_is_no_terminal_a_line_comes_again_and_again(monkeypatch):
    class Noted(io.StringIO):
        lines, seen = 0, threading.Event()

        def flush(self) -> None:
            self.lines += 1
            if self.lines == 3:
                self.seen.set()

    monkeypatch.setattr(sys, "stderr", Noted())
    with Heartbeat(every=0.001) as alive:
        alive.say("before: 40 recordings to read")
        assert Noted.seen.wait(60)
    assert "still loading the judges, after " in sys.stderr.getvalue()


def test_a_job_summary_that_can_not_be_written_is_found_before_the_judging(spoken, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/proc/summary.md")
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv", "--github")
    assert done.exit_code == 3 and "GITHUB_STEP_SUMMARY is /proc/summary.md" in done.output


def test_a_fault_of_the_program_is_no_verdict(spoken, monkeypatch):

    monkeypatch.setattr(run, "read", lambda *_: 1 / 0)
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv")
    assert done.exit_code == 4


ONLY = """
import sys
from importlib.metadata import packages_distributions
allowed, roots = set(sys.argv.pop(1).split(",")), {"flows", "tasks", "model"}
names = {module: {d.lower().replace("_", "-") for d in dists} for module, dists in packages_distributions().items()}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in names and top not in roots and not names[top] & allowed:
            raise ModuleNotFoundError(f"{name} is not in requirements/gate.lock", name=name)
sys.meta_path.insert(0, Refuse())
from flows.cli import main
try:
    main()
finally:
    assert not {"dvc", "prefect", "mlflow", "pandas", "lhotse"} & set(sys.modules), "heavy"
"""


@embedded
def test_it_runs_with_the_packages_of_its_own_lock_alone(spoken):
    lock = (PROJECT / "requirements/gate.lock").read_text().splitlines()
    names = [line.split("==")[0].split("[")[0].lower() for line in lock if "==" in line and line[0].isalnum()]
    done = subprocess.run(
        [sys.executable, "-c", ONLY, ",".join(names), "gate", spoken / "a", spoken / "b", "--texts",
         spoken / "texts.csv", "--prompts", spoken / "prompts", *JUDGES, "--no-mos", "--json"],
        capture_output=True, text=True, cwd=spoken, env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode in (1, 2) and done.stdout, done.stderr
    assert len(json.loads(done.stdout)["recordings"]) == 12


def test_bad_input_ends_before_anything_heavy_is_imported(spoken):
    code = "import sys\nfrom flows.cli import app\ntry:\n app(sys.argv[1:])\nfinally:\n print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "gate", spoken / "a", spoken / "nowhere", "--texts", spoken / "texts.csv"],
        capture_output=True, text=True, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 3 and "nowhere is not there" in done.stderr
    assert not set(done.stdout.split()) & {"torch", "whisper", "transformers", "dvc", "prefect", "mlflow", "pandas"}


def test_the_templates_are_part_of_the_package():
    data = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    shipped = {file.suffix for folder in ("gate", "common/page") for file in (PROJECT / "tasks" / folder).rglob("*.*")}
    assert {f"*{suffix}" for suffix in shipped - {".py", ".pyc"}} <= set(data)
