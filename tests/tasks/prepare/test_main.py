"""The stage ``prepare``, run in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.common import params, paths
from tasks.prepare import __main__ as prepare
from tests.conftest import REPOSITORY, real_speech
from tests.prepared import SMALL, Configure, check_splits, cuts, folder_corpus, good_rows, outputs, rejected, speakers
from tests.s3 import S3Server


def test_synthetic_corpus(workspace: Configure) -> None:
    workspace({"prepare": SMALL})
    prepare.run(params.load())
    check_splits()
    splits = cuts()
    assert {name: len(part) for name, part in splits.items()} == {"train": 20, "dev": 6, "test": 12}
    assert speakers(splits["test"]) == {"f2", "klatt2", "m1", "rob"}
    assert {cut.custom["seen"] for cut in splits["test"]} == {True, False}
    assert all(cut.sampling_rate == 16000 and 0.2 < cut.duration < 5 for cut in splits["train"])
    assert "espeak-ng en-us+" in next(iter(splits["train"])).custom["source"]
    assert rejected() == []
    assert paths.cuts("train").read_bytes()[4:8] == b"\0\0\0\0"  # no time stamp in the gzip header


def test_same_seed_same_bytes_whatever_was_there_before(workspace: Configure) -> None:
    workspace({"prepare": SMALL})
    prepare.run(params.load())
    first = outputs()
    assert not [name for name in first if ".tmp" in name or "spool" in name]
    (paths.AUDIO / "train" / "stale.flac").touch()
    workspace({"prepare": SMALL, "compute": {"threads": 1}})
    prepare.run(params.load())
    assert outputs() == first
    workspace({"prepare": SMALL, "seed": 18})
    prepare.run(params.load())
    assert outputs()["data/cuts/train.jsonl.gz"] != first["data/cuts/train.jsonl.gz"]


def test_cuts_hold_the_utterances_samples(workspace: Configure, tmp_path: Path) -> None:
    rows = good_rows(tmp_path / "corpus")
    folder_corpus(tmp_path / "corpus", rows)
    changes = {"corpus": "folder", "path": "corpus", "unseen_speakers": 1, "test_utterances": 4, "dev_utterances": 2}
    workspace({"prepare": changes})
    prepare.run(params.load())
    check_splits()
    for part in cuts().values():
        for cut in part:
            original, _ = soundfile.read(tmp_path / "corpus" / cut.custom["source"], dtype="float32")
            np.testing.assert_array_equal(cut.load_audio()[0], original)


def test_cuts_of_a_rate_without_exact_seconds_load_whole(workspace: Configure) -> None:
    """Starts and lengths in seconds are fractions that a float cannot hold; not one sample may be lost."""
    folder = workspace({"prepare": SMALL})
    config = folder / "checkpoints/codec/config.json"
    config.write_text(config.read_text().replace("16000", "22050"))
    prepare.run(params.load())
    ends: Counter[str] = Counter()
    for part in cuts().values():
        for cut in part:
            assert round(cut.start * 22050) == ends[cut.recording.id]
            ends[cut.recording.id] += cut.load_audio().shape[1]
    files = {f"{file.parent.name}-{file.stem}": file for file in paths.AUDIO.rglob("*.flac")}
    assert ends == {id_: soundfile.info(file).frames for id_, file in files.items()}


def test_command_prints_the_table_or_one_message(workspace: Configure) -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def stage() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tasks.prepare"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    workspace({"prepare": SMALL})
    done = stage()
    assert done.returncode == 0, done.stderr
    for expected in ("train", "utterances", "prepare: read and check: 38"):
        assert expected in done.stdout
    workspace({"prepare": {"no_such_key": 1}})
    done = stage()
    assert done.returncode == 1
    assert "prepare.no_such_key" in done.stderr and "Traceback" not in done.stderr


def test_corpus_on_s3(
    workspace: Configure, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECHALIGN_CACHE", str(tmp_path / "cache"))
    folder_corpus(tmp_path / "corpus", good_rows(tmp_path / "corpus"))
    client = s3_server.client()
    client.create_bucket(Bucket="speech")
    for file in (tmp_path / "corpus").iterdir():
        client.upload_file(str(file), "speech", f"small/{file.name}")
    changes = {"corpus": "folder", "unseen_speakers": 1, "test_utterances": 4, "dev_utterances": 2}
    workspace({"prepare": changes | {"path": "corpus"}})
    prepare.run(params.load())
    local = outputs()
    workspace({"prepare": changes | {"path": "s3://speech/small"}})
    prepare.run(params.load())
    assert outputs() == local


def test_real_librispeech_lists_what_has_no_transcript(workspace: Configure) -> None:
    changes = {"corpus": "librispeech", "path": str(real_speech("librispeech"))}
    workspace({"prepare": changes | {"unseen_speakers": 1, "test_utterances": 16, "dev_utterances": 8}})
    prepare.run(params.load())
    check_splits()
    reasons = Counter((row["path"].split("/")[0], row["reason"]) for row in rejected())
    assert reasons["train-clean-100", "missing text"] == 100
    used = sum(len(part) for part in cuts().values())
    assert used + len(rejected()) == 150 and used >= 40
    assert {len(part) for name, part in cuts().items() if name != "train"} == {16, 8}


def test_real_fsdd(workspace: Configure) -> None:
    changes = {"corpus": "fsdd", "path": str(real_speech("fsdd")), "fsdd": {"utterances": 60}}
    workspace({"prepare": changes | {"unseen_speakers": 1, "test_utterances": 40, "dev_utterances": 20}})
    prepare.run(params.load())
    check_splits()
    assert {name: len(part) for name, part in cuts().items()} == {"train": 60, "dev": 20, "test": 40}
    assert len(speakers(cuts()["test"])) == 4 and len(speakers(cuts()["train"])) == 3
    assert rejected() == []
