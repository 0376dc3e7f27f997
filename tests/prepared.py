"""Small corpora for the stage ``prepare``, and what it wrote in the current folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lhotse import CutSet, load_manifest

from tasks.common import paths
from tests.conftest import write_tone

Configure = Callable[[dict], Path]
SMALL: dict[str, Any] = {
    "unseen_speakers": 1,
    "test_utterances": 12,
    "dev_utterances": 6,
    "synthetic": {"voices": ["f2", "klatt2", "m1"], "unseen_voices": ["rob"], "utterances": 20},
}


def rejected() -> list[dict[str, str]]:
    return [json.loads(line) for line in paths.REJECTED.read_text(encoding="utf-8").splitlines()]


def cuts() -> dict[str, CutSet]:
    return {split: load_manifest(paths.cuts(split)) for split in paths.SPLITS}


def texts(cuts: CutSet) -> set[str]:
    return {cut.supervisions[0].text for cut in cuts}


def speakers(cuts: CutSet) -> set[str]:
    return {cut.supervisions[0].speaker for cut in cuts}


def outputs() -> dict[str, bytes]:
    return {p.as_posix(): p.read_bytes() for p in sorted(paths.DATA.rglob("*")) if p.is_file()}


def check_splits() -> None:
    """What later stages rely on."""
    splits = cuts()
    assert not texts(splits["train"]) & (texts(splits["dev"]) | texts(splits["test"]))
    assert speakers(splits["dev"]) <= speakers(splits["train"])
    ids = [cut.id for part in splits.values() for cut in part]
    assert len(ids) == len(set(ids))
    for name, part in splits.items():
        assert min(Counter(cut.supervisions[0].speaker for cut in part).values()) >= 2, name
        for cut in part:
            speaker = cut.supervisions[0].speaker
            assert cut.custom["seen"] == (speaker in speakers(splits["train"]))
            assert cut.recording.sources[0].source == f"data/audio/{name}/{speaker}.flac"
            assert cut.load_audio().shape == (1, cut.num_samples)


def folder_corpus(root: Path, rows: list[tuple[str, str, str, str]]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    lines = ["id,path,text,speaker", *(",".join(f'"{cell}"' for cell in row) for row in rows)]
    (root / "all.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def good_rows(root: Path, speakers: int = 3, each: int = 10) -> list[tuple[str, str, str, str]]:
    rows = []
    for s in range(speakers):
        for i in range(each):
            name = f"s{s}-{i}"
            write_tone(root / f"{name}.wav", 0.3, frequency=200.0 + 10 * (s * each + i))
            letters = "abcdefghij"
            rows.append((name, f"{name}.wav", f"text {letters[s]} {letters[i]}", f"s{s}"))
    return rows
