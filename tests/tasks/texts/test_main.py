"""Stage texts in a folder."""

from __future__ import annotations

import pytest

from tasks.common import paths, schemas
from tasks.common.files import read_table, write_table
from tasks.texts import __main__ as stage
from tests.tasks.texts.made import recorded


def write_codes(split: str) -> None:
    speech = recorded(split)
    rows = [
        {"id": id_, "speaker": speaker, "text": text, "seen": speech.seen[speaker], "seconds": 0.1, "codes": [[1, 2]]}
        for id_, speaker, text in zip(speech.ids, speech.speakers, speech.texts, strict=True)
    ]
    write_table(paths.codes(split), rows, schemas.CODES)


def test_the_stage_writes_every_split_or_nothing(workspace, capsys):
    workspace({"texts": {"sample_pool": 30, "long_utterances": 6}})
    for split in paths.SPLITS:
        write_codes(split)

    stage.main()

    assert [len(read_table(paths.texts(split), schemas.TEXTS)) for split in paths.SPLITS] == [30, 6, 6]
    assert "texts: 30 of train, 6 of dev, 6 of test; the pool's have 2 to 8 words" in capsys.readouterr().out
    before = {split: paths.texts(split).read_bytes() for split in paths.SPLITS}
    workspace({"texts": {"long": "file", "long_file": "missing.txt"}})
    with pytest.raises(SystemExit):
        stage.main()
    assert {split: paths.texts(split).read_bytes() for split in paths.SPLITS} == before


def test_the_texts_are_the_same_however_many_rows_are_written_at_a_time(workspace, monkeypatch):
    workspace({"texts": {"sample": "corpus", "long_utterances": 6}})
    for split in paths.SPLITS:
        write_codes(split)
    stage.main()
    before = {split: read_table(paths.texts(split), schemas.TEXTS) for split in paths.SPLITS}
    monkeypatch.setattr(stage, "ROWS_AT_A_TIME", 2)
    stage.main()
    assert {split: read_table(paths.texts(split), schemas.TEXTS) for split in paths.SPLITS} == before


def test_a_speaker_with_one_utterance_is_named(workspace, capsys):
    workspace({})
    for split in paths.SPLITS:
        write_codes(split)
    rows = read_table(paths.codes("dev"), schemas.CODES)
    write_table(paths.codes("dev"), [row for row in rows if row["id"] not in ("dev-b-3", "dev-b-4")], schemas.CODES)
    with pytest.raises(SystemExit):
        stage.main()
    assert "speakers with a single utterance in dev have none left for a voice prompt: ['b']" in capsys.readouterr().err
