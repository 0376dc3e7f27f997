"""From a prepared corpus to the files that the bootstrap trainers read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bootstrap import from_cuts, measure
from tasks.common import digits, params
from tasks.prepare import __main__ as prepare
from tests.conftest import write_tone
from tests.prepared import cuts

Configure = Callable[[dict], Path]


@pytest.fixture
def prepared(workspace: Configure, tmp_path: Path) -> Path:
    """A folder in which ``prepare`` has run on three speakers of tones, one of them unseen."""
    for speaker in ("ann", "bob", "cy"):
        for digit in range(10):
            for index in (0, 5, 10):  # test, dev, train
                write_tone(tmp_path / "digits" / f"{digit}_{speaker}_{index}.wav", 0.1, 8000, 200.0 + 40 * digit)
    fsdd = {"corpus": "fsdd", "path": "digits", "unseen_speakers": 1, "test_utterances": 8, "dev_utterances": 4}
    root = workspace({"prepare": {**fsdd, "fsdd": {"utterances": 10}}})
    prepare.run(params.load())
    return root


def test_every_utterance_is_there_with_its_text_speaker_and_samples(prepared: Path) -> None:
    from_cuts.main(prepared / "work")
    for name, split, seen in (
        ("train", "train", True),
        ("dev", "dev", True),
        ("test", "test", True),
        ("unseen", "test", False),
    ):
        expected = [cut for cut in cuts()[split] if cut.custom["seen"] is seen]
        waves, texts, voices = measure.load_split(prepared / "work" / "data" / f"{name}.npz")
        assert texts == [cut.supervisions[0].text for cut in expected] and len(texts) >= 4
        assert voices == [cut.supervisions[0].speaker for cut in expected]
        assert all(digits.split_of(text) == split for text in texts)
        for wave, cut in zip(waves, expected, strict=True):
            np.testing.assert_allclose(wave.numpy(), cut.load_audio()[0], atol=1e-4)


def test_a_corpus_without_unseen_speakers_leaves_no_file_of_an_earlier_one(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_cuts.main(prepared / "work")
    load_split = from_cuts.load_split
    monkeypatch.setattr(from_cuts, "load_split", lambda split: [c for c in load_split(split) if c.custom["seen"]])
    from_cuts.main(prepared / "work")
    assert sorted(file.name for file in (prepared / "work" / "data").iterdir()) == ["dev.npz", "test.npz", "train.npz"]


def test_other_rates_become_the_recognizers(prepared: Path) -> None:
    cut = next(iter(cuts()["train"]))
    assert cut.sampling_rate == from_cuts.SAMPLE_RATE
    half = cut.resample(8000)
    assert len(from_cuts.samples_of(half)) == pytest.approx(cut.num_samples, abs=2)


def test_without_prepare_it_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        from_cuts.main(tmp_path / "work")
    assert stopped.value.code == 1
    assert "run `speechalign run --targets prepare`" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
