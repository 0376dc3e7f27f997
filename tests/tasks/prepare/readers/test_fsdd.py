"""Digit recordings strung to utterances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.common import digits, params
from tasks.common.files import DataError
from tasks.prepare.items import Item
from tasks.prepare.readers import fsdd
from tests.conftest import REPOSITORY, write_tone


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fsdd")
    for speaker in ("ann", "bob", "cy"):
        for digit in range(10):
            for index in range(12):
                write_tone(root / f"{digit}_{speaker}_{index}.wav", 0.1, 8000, 200.0 + 40 * digit)
    return root


def settings(**changes: object) -> params.Params:
    p = params.load(REPOSITORY / "params.yaml")
    prepare = {"unseen_speakers": 1, "test_utterances": 24, "dev_utterances": 12, **changes}
    prepare["fsdd"] = p.prepare.fsdd.model_copy(update={"utterances": 60})
    return p.model_copy(update={"prepare": p.prepare.model_copy(update=prepare)})


def utterances(root: Path, **changes: object) -> list[Item]:
    corpus = fsdd.read(settings(**changes), root)
    items = list(corpus.items)
    assert corpus.total == len(items)
    return items


def test_counts_speakers_and_texts_of_the_splits(recordings: Path) -> None:
    items = utterances(recordings)
    ids = {split: [i for i in items if i.split == split] for split in ("train", "dev", "test")}
    assert {split: len(members) for split, members in ids.items()} == {"train": 60, "dev": 12, "test": 24}
    assert all(digits.split_of(i.text or "") == i.split for i in items)
    seen = {i.speaker for i in ids["train"]}
    assert len(seen) == 2 and {i.speaker for i in ids["dev"]} == seen
    assert len({i.speaker for i in ids["test"]} - seen) == 1
    assert sum(i.speaker not in seen for i in ids["test"]) == 12


def test_recordings_say_the_text_and_belong_to_one_split(recordings: Path) -> None:
    items = utterances(recordings)
    used: dict[str, set[str]] = {}
    for item in items:
        names = item.source.split()
        assert [digits.WORDS[int(n[0])] for n in names] == (item.text or "").split()
        assert {n.split("_")[1] for n in names} == {item.speaker}
        used.setdefault(item.split or "", set()).update(names)
    assert not used["train"] & used["test"] and not used["train"] & used["dev"] and not used["dev"] & used["test"]
    seen = {i.speaker for i in items if i.split == "train"}
    official = {n for n in used["test"] if n.split("_")[1] in seen}
    assert {int(n.split("_")[2].removesuffix(".wav")) for n in official} <= set(range(5))


def test_samples_are_the_recordings_with_short_silences(recordings: Path) -> None:
    item = next(i for i in utterances(recordings) if i.split == "train")
    assert item.samples is not None and item.sample_rate == 8000
    words = len(item.source.split())
    sounding = np.count_nonzero(np.abs(item.samples) > 1e-4)
    assert sounding > 0.95 * words * 800
    silence = len(item.samples) - words * 800
    assert 2 * 400 + (words - 1) * 320 - words <= silence <= 2 * 400 + (words - 1) * 960


def test_the_seed_decides(recordings: Path) -> None:
    def sources(seed: int) -> list[str]:
        p = settings().model_copy(update={"seed": seed})
        return [i.source for i in fsdd.read(p, recordings).items]

    assert sources(1) == sources(1) != sources(2)


def test_bad_recordings_are_listed_and_not_used(recordings: Path, tmp_path: Path) -> None:
    for file in recordings.iterdir():
        (tmp_path / file.name).symlink_to(file)
    for name in ("3_ann_11.wav", "4_bob_11.wav"):
        (tmp_path / name).unlink()
    (tmp_path / "3_ann_11.wav").write_bytes(b"no sound")
    soundfile.write(tmp_path / "4_bob_11.wav", np.zeros(4000), 8000)
    write_tone(tmp_path / "eleven_ann_1.wav", 0.2, 8000)
    items = utterances(tmp_path)
    rejected = {i.id: i.problem.reason for i in items if i.problem}
    assert rejected == {
        "3_ann_11": "unreadable audio",
        "4_bob_11": "silent audio",
        "eleven_ann_1": "unexpected file name",
    }
    assert not any("3_ann_11" in i.source or "4_bob_11" in i.source for i in items if not i.problem)


def test_too_few_speakers_and_missing_digits_are_errors(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unseen_speakers is 3, but .* has 3 speakers \(ann, bob, cy\)"):
        utterances(recordings, unseen_speakers=3)
    for file in recordings.iterdir():
        if not file.name.startswith("7_"):
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(DataError, match=r"no usable train recording of \w+ saying 7"):
        utterances(tmp_path)


def test_quiet_and_loud_recordings_come_to_one_level() -> None:
    tone = np.sin(np.arange(800) * 0.3).astype(np.float32)
    quiet, loud = fsdd.leveled(0.01 * tone + 0.005), fsdd.leveled(0.9 * tone)
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    assert float(np.sqrt((loud**2).mean())) == pytest.approx(0.08, rel=1e-3)
    click = np.zeros(800, np.float32)
    click[400] = 0.01
    assert np.abs(fsdd.leveled(click)).max() == pytest.approx(0.9, rel=1e-3)  # no recording is made to clip
