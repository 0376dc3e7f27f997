"""The command ``speechalign layout``: the shipped policy and codec on synthetic speech, and every refusal."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from flows import cli
from model import espeak
from model.layouts.files import shipped
from model.layouts.own import write_tokenizer
from tasks.policy.layouts import app
from tests.conftest import REPOSITORY, write_tone
from tests.model.layouts.families import make_tokenizer

DIGITS = "zero one two three four five six seven eight nine".split()
VOICES = ("f2", "m3", "f5", "m7")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    """The shipped policy as an ordinary Hugging Face folder."""
    folder = tmp_path_factory.mktemp("policy") / "ar"
    shutil.copytree(REPOSITORY / "checkpoints/policy/ar", folder)
    write_tokenizer(folder, 256)
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    """Twelve spoken digit strings of four voices."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    rows = []
    for number in range(12):
        voice, text = VOICES[number % len(VOICES)], " ".join(rng.choice(DIGITS, 3))
        soundfile.write(folder / f"{number}.flac", espeak.synthesize(text, voice), espeak.SAMPLE_RATE)
        rows.append([number, f"{number}.flac", text, voice])
    write_csv(folder, rows)
    return folder


def write_csv(folder: Path, rows: list[list], header: tuple = ("id", "path", "text", "speaker")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check(policy: Path, layout: object, speech: Path, *more: object):
    codec = REPOSITORY / "checkpoints/codec"
    return run("check", "--policy", policy, "--layout", layout, "--speech", speech, "--codec", codec, *more)


def changed(tmp_path: Path, **fields: object) -> Path:
    content = yaml.safe_load((REPOSITORY / "model/layouts/own.yaml").read_text())
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(content | fields, sort_keys=False))
    return file


def test_the_shipped_policy_was_trained_with_its_layout(policy, speech):
    result = check(policy, "own", speech)
    assert result.exit_code == 0, result.output
    assert "layout own: -" in result.output
    assert "over 12 recordings" in result.output
    assert re.search(r"^  another speaker .*  beaten$", result.output, re.MULTILINE), result.output  # it clones voices
    assert "  not tried: slots swapped (all tokens are of one level)\n" in result.output
    assert result.output.rstrip().endswith("the declared layout fits best")


def test_a_fault_is_named_with_the_line_to_change(policy, speech, tmp_path):
    templates = {"context": "<s>{text}<prompt>", "prompted": "<s>{text}<prompt>{prompt_codes}"}
    result = check(policy, changed(tmp_path, **templates), speech)
    assert result.exit_code == 3, result.output
    assert "with <speech> before the codes" in result.output
    assert "Change the layout: put <speech> before the codes" in result.output


def test_an_untrained_model_is_no_better_than_a_guess(policy, speech, tmp_path):
    folder = tmp_path / "ar"
    shutil.copytree(policy, folder)
    untrained = LlamaForCausalLM(LlamaConfig.from_pretrained(folder))
    untrained.save_pretrained(folder)
    result = check(folder, "own", speech)
    assert result.exit_code in (3, 4), result.output
    assert "no better than a guess among a level's codes (-5.545 nats per token)" in result.output


def refused(result, message: str) -> None:
    assert result.exit_code == 1, result.output
    assert message in " ".join(result.output.split())


def test_a_codec_at_another_rate_than_the_layout_says_is_refused(policy, speech, tmp_path):
    codec = {"kind": "encodec", "sample_rate": 16000, "frame_rate": 75}
    refused(check(policy, changed(tmp_path, codec=codec), speech), "50 frames/s, the layout says 16000 Hz and 75")


def test_a_codec_of_another_kind_is_refused(policy, speech, tmp_path):
    codec = {"kind": "snac", "sample_rate": 16000, "frame_rate": 50}
    refused(check(policy, changed(tmp_path, codec=codec), speech), "it has codes of encodec, the layout says snac")


def test_a_kind_of_codec_that_there_is_not_is_refused_with_those_that_there_are(policy, speech, tmp_path):
    layout = changed(tmp_path, codec={"kind": "snacs", "sample_rate": 16000, "frame_rate": 50})
    result = run("check", "--policy", policy, "--layout", layout, "--speech", speech)
    refused(result, "codec.kind is 'snacs', which no installed package has; expected one of dac, encodec, mimi")


def test_a_codec_of_another_size_is_refused(speech, tmp_path, policy):
    folder = tmp_path / "ar"
    shutil.copytree(policy, folder)
    write_tokenizer(folder, 255)
    refused(check(folder, "own", speech), "it has 256 codes per level, the layout has 255")


def test_a_tokenizer_of_another_family_is_refused(speech, tmp_path):
    folder = make_tokenizer("cosyvoice2", tmp_path, 16)
    refused(check(folder, "own", speech), "layout own: ")


def test_half_a_download_is_refused_before_the_speech_is_read(policy, tmp_path):
    folder = tmp_path / "ar"
    shutil.copytree(policy, folder)
    (folder / "model.safetensors").unlink()
    refused(check(folder, "own", tmp_path / "nothing"), "is half a download")


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([[1, "a.wav", "one"]], ("id", "path", "text"), "should have the columns id, path, text, speaker"),
        ([[1, "a.wav", "one"]], ("id", "path", "text", "speaker"), "line 2: 3 fields; expected 4 fields"),
        ([[1, "../a.wav", "one", "f2"]] * 8, ("id", "path", "text", "speaker"), "path leaves the folder"),
        ([[1, "a.wav", "one", "f2"]] * 8, ("id", "path", "text", "speaker"), "missing audio"),
    ],
)
def test_speech_that_cannot_be_read_is_refused(policy, tmp_path, rows, header, message):
    refused(check(policy, "own", write_csv(tmp_path / "speech", rows, header)), message)


def test_too_few_recordings_are_refused(policy, tmp_path):
    write_tone(tmp_path / "speech/a.wav")
    folder = write_csv(tmp_path / "speech", [[1, "a.wav", "one", "f2"]] * 7)
    refused(check(policy, "own", folder), "a check needs 8 recordings or more, found 7")


def test_a_text_that_the_front_end_cannot_read_is_refused(policy, tmp_path):
    write_tone(tmp_path / "speech/a.wav")
    folder = write_csv(tmp_path / "speech", [[1, "a.wav", "one 2", "f2"]] * 8)
    refused(check(policy, "own", folder), "cannot read '2' in the text")


@pytest.mark.parametrize(
    ("layout", "message"),
    [("nobody", "no layout 'nobody': expected one of cosyvoice2"), ("own", "names no codec")],
)
def test_a_layout_or_codec_that_is_not_known_is_refused(policy, speech, layout, message):
    refused(run("check", "--policy", policy, "--layout", layout, "--speech", speech), message)


def test_a_layout_with_words_between_the_codes_is_refused(speech, tmp_path):
    folder = make_tokenizer("outetts", tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    refused(check(folder, "outetts", speech), "which need alignments")


def test_layouts_are_listed_and_shown():
    listed = run("list").output.splitlines()
    assert [line.split()[0] for line in listed] == shipped()
    shown = run("show", "orpheus").output
    assert yaml.safe_load(shown)["codes"]["slots"] == [0, 1, 2, 2, 1, 2, 2]
    refused(run("show", "nobody"), "no layout 'nobody'")


def test_the_command_is_part_of_speechalign():
    result = CliRunner().invoke(cli.app, ["layout", "check", "--help"], prog_name="speechalign")
    assert "Usage: speechalign layout check " in result.output
