"""The stage ``prepare`` on bad input, on a full disk and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.spelling import Spelling
from tasks.common import params, paths
from tasks.common.audio import Limits
from tasks.common.files import DataError, atomic_path
from tasks.prepare import __main__ as prepare
from tasks.prepare import manifest
from tasks.prepare.intake import Intake
from tasks.prepare.items import Corpus, Item
from tests.conftest import REPOSITORY, tone
from tests.prepared import SMALL, Configure, cuts, folder_corpus, good_rows, outputs, rejected


def test_every_bad_utterance_is_listed_with_its_reason(workspace: Configure, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    rows = good_rows(root)
    sound = tone(0.5)
    (root / "garbage.wav").write_bytes(b"no sound" * 100)
    (root / "nothing.wav").touch()
    soundfile.write(root / "silent.wav", np.zeros(8000), 16000)
    soundfile.write(root / "clipped.wav", np.clip(sound * 9, -1, 1), 16000)
    soundfile.write(root / "short.wav", tone(0.05), 16000)
    soundfile.write(root / "long.wav", tone(31.0, 8000), 8000)
    soundfile.write(root / "nan.wav", np.where(np.arange(8000) == 9, np.nan, sound), 16000, subtype="FLOAT")
    soundfile.write(root / "stereo.wav", np.stack([sound, sound], axis=1), 16000)
    soundfile.write(root / "odd.wav", tone(0.5, 44099), 44099)
    bad = {
        "garbage": "unreadable audio",
        "nothing": "empty audio",
        "silent": "silent audio",
        "clipped": "clipped audio",
        "short": "audio too short",
        "long": "audio too long",
        "nan": "non-finite samples",
        "absent": "missing audio",
    }
    rows += [(name, f"{name}.wav", f"the {name} one", "s0") for name in [*bad, "stereo", "odd"]]
    rows += [
        ("no-text", "s0-0.wav", "", "s0"),
        ("dots", "s0-0.wav", "...", "s0"),
        ("digits", "s0-0.wav", "room 12", "s0"),
        ("outside", "../params.yaml", "out", "s0"),
        ("a/b", "s0-0.wav", "slash in id", "s0"),
        ("bad-speaker", "s0-0.wav", "who", "../s0"),
        ("s0-0", "s0-1.wav", "the same id again", "s0"),
        ("S0-1", "s0-1.wav", "the same id in capitals", "s0"),
        ("capitals", "s0-1.wav", "the same speaker in capitals", "S0"),
    ]
    bad |= {
        "no-text": "empty text",
        "dots": "unspeakable text",
        "digits": "text contains characters that cannot be read",
        "outside": "path leaves the corpus folder",
        "a/b": "unusable id",
        "bad-speaker": "unusable speaker",
        "s0-0": "duplicate id",
        "S0-1": "id in two spellings",
        "capitals": "speaker in two spellings",
    }
    folder_corpus(root, rows)
    changes = {"corpus": "folder", "path": "corpus", "unseen_speakers": 0, "test_utterances": 4, "dev_utterances": 2}
    workspace({"prepare": changes})
    prepare.run(params.load())
    found = {row["id"]: row["reason"] for row in rejected()}
    assert found == bad
    assert all(row["expected"] and row["found"] for row in rejected())
    used = {cut.id for part in cuts().values() for cut in part}
    assert {"stereo", "odd", "s0-0"} <= used
    assert len(used) + len(rejected()) == len(rows)


def test_nothing_usable_is_an_error_that_says_why(workspace: Configure, tmp_path: Path) -> None:
    folder_corpus(tmp_path / "corpus", [("a", "none.wav", "one", "s"), ("b", "none.wav", "two", "s")])
    workspace({"prepare": {"corpus": "folder", "path": "corpus"}})
    with pytest.raises(
        DataError, match=r"nothing usable in the folder corpus \(2 missing audio\); the first: .*none.wav"
    ):
        prepare.run(params.load())
    assert not paths.CUTS.exists() and not paths.REJECTED.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare": {"corpus": "librispeech", "path": "nowhere"}}, "prepare.path is 'nowhere', which is not a folder"),
        ({"prepare": {"corpus": "librispeech", "path": "checkpoints"}}, "holds no .flac file"),
        ({"prepare": {"no_such_key": 1}}, "prepare.no_such_key"),
        ({"models": {"codec": "nowhere"}}, "expected a folder with config.json"),
    ],
)
def test_wrong_settings_end_in_one_message(
    workspace: Configure, capsys: pytest.CaptureFixture[str], changes: dict, message: str
) -> None:
    workspace(changes)
    with pytest.raises(SystemExit) as caught:
        prepare.main()
    assert caught.value.code == 1
    assert message in capsys.readouterr().err
    assert not paths.CUTS.exists()


def test_kill_in_mid_stage_leaves_the_last_whole_result(workspace: Configure) -> None:
    folder = workspace({"prepare": SMALL})
    prepare.run(params.load())
    before = outputs()
    larger = SMALL | {"synthetic": SMALL["synthetic"] | {"utterances": 2400}}
    workspace({"prepare": larger, "compute": {"threads": 1}})
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(
        [sys.executable, "-m", "tasks.prepare"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        spool, deadline = paths.AUDIO.with_name(".audio.tmp") / ".spool.s16", time.monotonic() + 120
        while not (spool.is_file() and spool.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert spool.stat().st_size and running.poll() is None, "the stage should still be at work"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert {name: content for name, content in outputs().items() if ".tmp" not in name} == before
    workspace({"prepare": SMALL})
    prepare.run(params.load())
    assert outputs() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_is_one_clear_message(workspace: Configure, tmp_path: Path) -> None:
    workspace({"prepare": SMALL})
    item = Item("a", "s", "one", "memory", samples=tone(20.0), sample_rate=16000)

    def write() -> None:
        with atomic_path(tmp_path / "out") as out:
            out.mkdir()
            (out / "spool").symlink_to("/dev/full")
            Intake(out / "spool", 16000, Limits(), (0, 40), Spelling(), 1).read(Corpus(1, iter([item])))

    with pytest.raises(DataError, match="the disk is full"):
        write()
    assert not (tmp_path / "out").exists()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "s.flac").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(-9999, 9999, 160000, dtype=np.int16)
    with pytest.raises(DataError, match="disk full"):
        manifest.write_speaker(tmp_path, "train", "s", [("a", "one", noise, {})], 16000)
