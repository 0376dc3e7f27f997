"""``speechalign gate`` from end to end: exit statuses, outputs, and what it needs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from tasks.gate import run
from tasks.gate.judges import Named
from tests.model.judges.test_guarded import write_ctc, write_wavlm
from tests.tasks.gate.conftest import EMBEDDED, JUDGES, embedded, gate, write_texts


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
    assert found["sentence"] == found["comparisons"][0]["sentence"]
    assert found["sentence"].startswith("Not shown: 4 texts are too few")
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
    assert summary.read_text().startswith("## ➖ speechalign gate: ")
    assert "\n\nNot shown: 4 texts are too few to tell anything from chance; 8 are the least.\n" in summary.read_text()
    assert "| WER % | " in summary.read_text()
    assert outputs.read_text() == "answer=not shown\n"
    assert (
        done.stdout.splitlines()[-1] == "Not shown: 4 texts are too few to tell anything from chance; 8 are the least."
    )


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


def test_a_fault_of_the_program_is_no_verdict(spoken, monkeypatch):

    monkeypatch.setattr(run, "read", lambda *_: 1 / 0)
    done = gate(spoken / "a", spoken / "b", "--texts", spoken / "texts.csv")
    assert done.exit_code == 4


def test_help_names_the_commands_the_options_of_the_comparison_and_an_example():
    said = gate("--help").output
    assert all(f"│ {name} " in said for name in ("compare", "table", "power"))
    options = ("--texts", "--prompts", "--against", "--out", "--json", "--github", "--margin", "--recognizer")
    assert all(f" {option} " in said for option in options)
    assert "speechalign gate before/ after/ --texts texts.csv --out gate.html" in said
