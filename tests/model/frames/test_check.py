"""The check of CSM's layout on a checkpoint trained for seconds: the right layout wins, each planted fault is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from model.errors import InputError
from model.layouts.check import Report, check_layout
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.near_miss import Recording
from tests.model.frames import tiny
from tests.model.frames.trained import checkpoint
from tests.model.layouts.trained import recordings


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("csm"))


def check(folder: Path, change: Callable[[dict], None] = lambda _: None, plant=lambda recording: recording) -> Report:
    """Check the checkpoint with a changed layout, and with changed recordings."""
    content = yaml.safe_load((folder / "layout.yaml").read_text())
    change(content)
    (folder / "changed.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    declared = Layout.load(str(folder / "changed.yaml"), folder)
    model = load_causal_lm(folder, declared.tokenizer)
    return check_layout(model, declared, [plant(r) for r in recordings(tiny.layout(folder), 16, seed=2)])


def test_the_right_layout_beats_every_near_miss(trained):
    report = check(trained)
    assert (report.better, report.ties) == ([], [])
    names = {row.name for row in report.rows}
    wanted = {"codes +1", "codes -1", "upper books a frame later", "the prompt's audio before its text"}
    wanted |= {"audio at 2 × its rate", "another recording's text", "slots 0 and 1 swapped", "without <|end_of_text|>"}
    assert wanted <= names


def every(change: Callable[[Recording], Recording]) -> Callable[[Recording], Recording]:
    """Change a recording and its voice prompt."""
    return lambda r: replace(change(r), prompt=change(r.prompt) if r.prompt else None)


def read_at_twice_its_rate(recording: Recording) -> Recording:
    return replace(recording, speech={1.0: recording.speech[2.0], 0.5: recording.speech[1.0]})


def upper_books_early(recording: Recording) -> Recording:
    def shifted(speech):
        first, *rest = speech.levels
        return replace(speech, levels=(first, *(np.r_[level[1:], level[-1:]] for level in rest)))

    return replace(recording, speech={speed: shifted(speech) for speed, speech in recording.speech.items()})


AUDIO_FIRST = "{prompt_codes}<|audio_eos|><|begin_of_text|>[0]{prompt_text}<|end_of_text|>"


@pytest.mark.parametrize(
    ("change", "plant", "found"),
    [
        (lambda c: c["codes"].update(first=1), None, "codes -1"),
        (lambda c: c["codes"].update(slots=[0, 2, 1, 3]), None, "slots 1 and 2 swapped"),
        (lambda c: c.update(text="lower_case"), None, "text as_is"),
        (
            lambda c: c.update(prompted=AUDIO_FIRST + "<|begin_of_text|>[0]{text}<|end_of_text|>"),
            None,
            "the prompt's text before its audio",
        ),
        (None, read_at_twice_its_rate, "audio at 0.5 × its rate"),
        (None, upper_books_early, "upper books a frame later"),
    ],
)
def test_a_planted_fault_is_found_and_named(trained, change, plant, found):
    report = check(trained, change or (lambda _: None), every(plant) if plant else lambda r: r)
    assert report.better[0].name == found
    assert report.better[0].hint


def test_another_stop_token_is_refused(trained):
    with pytest.raises(InputError, match="a target of frames only"):
        check(trained, lambda c: c.update(stop=["<|end_of_text|>"]))
