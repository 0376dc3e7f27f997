"""The check of a layout on checkpoints trained for seconds: the right layout wins, each planted fault is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from model.errors import InputError
from model.layouts.check import Report, Row, check_layout
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.likelihood import TokenSequence, likelihood, token_logprobs
from model.layouts.near_miss import NearMiss, Recording
from tests.model.layouts.trained import checkpoint, recordings

FAMILIES = ("cosyvoice2", "neutts", "orpheus")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a family's trained checkpoint."""
    folders: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in folders:
            folders[family] = tmp_path_factory.mktemp(family)
            checkpoint(family, folders[family])
        return folders[family]

    return folder


def check(folder: Path, change: Callable[[dict], None] = lambda _: None, plant=None) -> Report:
    """Check the checkpoint with a changed layout, and with changed recordings."""
    right = Layout.load(str(folder / "layout.yaml"), folder)
    content = yaml.safe_load((folder / "layout.yaml").read_text())
    change(content)
    (folder / "changed.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    declared = Layout.load(str(folder / "changed.yaml"), folder)
    spoken = recordings(right, 24, seed=2)
    return check_layout(
        load_causal_lm(folder, declared.tokenizer), declared, [plant(r) for r in spoken] if plant else spoken
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_layout_beats_every_near_miss(trained, family):
    report = check(trained(family))
    assert (report.better, report.ties) == ([], [])
    names = {row.name for row in report.rows}
    assert {"codes +1", "codes -1", "another recording's text", "audio at 2 × its rate", "text lower_case"} <= names
    assert any(name.startswith("without ") for name in names)
    assert any(name.startswith("ends with ") for name in names)
    assert any(name.startswith("slots ") for name in names) == (family == "orpheus")


def text_is(front_end: str) -> Callable[[dict], None]:
    return lambda content: content.update(text=front_end)


def first_code_is(first: int) -> Callable[[dict], None]:
    return lambda content: content["codes"].update(first=first)


def slots_are(slots: list[int]) -> Callable[[dict], None]:
    return lambda content: content["codes"].update(slots=slots)


def without(token: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        content.update({k: content[k].replace(token, "") for k in ("context", "prompted") if k in content})

    return change


def ends_with(token: str) -> Callable[[dict], None]:
    return lambda content: content.update(stop=[token])


@pytest.mark.parametrize(
    ("family", "fault", "found"),
    [
        ("cosyvoice2", first_code_is(1), "codes -1"),
        ("cosyvoice2", text_is("lower_case"), "text as_is"),
        ("cosyvoice2", text_is("phonemes en-us"), "text as_is"),
        ("cosyvoice2", without("<|task_id|>"), "with <|task_id|> before the codes"),
        ("cosyvoice2", ends_with("<|eos2|>"), "ends with <|eos1|>"),
        ("neutts", first_code_is(1), "codes -1"),
        ("neutts", text_is("as_is"), "text phonemes en-us"),
        ("neutts", without("<|SPEECH_GENERATION_START|>"), "with <|SPEECH_GENERATION_START|> before the codes"),
        ("neutts", ends_with("<|TEXT_PROMPT_END|>"), "ends with <|SPEECH_GENERATION_END|>"),
        ("orpheus", first_code_is(11), "codes -1"),
        ("orpheus", text_is("lower_case"), "text as_is"),
        ("orpheus", slots_are([1, 0, 2, 2, 1, 2, 2]), "slots 0 and 1 swapped"),
        ("orpheus", slots_are([0, 2, 1, 2, 1, 2, 2]), "slots 1 and 2 swapped"),
        ("orpheus", without("<custom_token_1>"), "with <custom_token_1> before the codes"),
        ("orpheus", ends_with("<custom_token_6>"), "ends with <custom_token_2>"),
    ],
)
def test_a_planted_fault_is_found_and_named(trained, family, fault, found):
    report = check(trained(family), fault)
    assert report.better[0].name == found
    assert report.better[0].hint


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_of_another_rate_are_found(trained, family):
    def swapped(recording: Recording) -> Recording:
        prompt = swapped(recording.prompt) if recording.prompt else None
        return replace(recording, speech={1.0: recording.speech[2.0], 0.5: recording.speech[1.0]}, prompt=prompt)

    report = check(trained(family), plant=swapped)
    assert report.better[0].name == "audio at 0.5 × its rate"


def test_a_checkpoint_that_ignores_the_text_does_not_pass(trained):
    folder = trained("cosyvoice2")
    layout = Layout.load(str(folder / "layout.yaml"), folder)
    model = load_causal_lm(folder, layout.tokenizer)
    with torch.no_grad():  # equal embeddings of all text
        text = [i for i in range(256 + 8) if i not in layout.code_tokens.all]
        model.get_input_embeddings().weight[text] = model.get_input_embeddings().weight[text].mean(0)
    report = check_layout(model, layout, recordings(layout, 24, seed=2))
    assert "another recording's text" in {row.name for row in report.ties + report.better}


def test_what_decides_nothing_refuses_no_layout_and_is_noted():
    better = {"nats": -1.0, "difference": -0.2, "low": -0.3, "high": -0.1}
    voice = Row("another speaker", "the voice seems not to matter", essential=False, decides=False, **better)
    start = Row("with <x> before the codes", "", essential=False, decides=True, **better)
    report = Report("mine", 12, -1.2, (voice, start), ())
    assert (report.better, report.ties, report.notes) == ([start], [], [voice])


def test_too_few_recordings_are_refused(trained):
    folder = trained("cosyvoice2")
    layout = Layout.load(str(folder / "layout.yaml"), folder)
    with pytest.raises(InputError, match="a check needs 8 recordings or more, found 7"):
        check_layout(load_causal_lm(folder, layout.tokenizer), layout, recordings(layout, 7, seed=2))


# --- likelihoods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_equal_the_models_own_class(trained, family):
    """Batched and padded here, one sequence at a time and without a mask there."""
    folder = trained(family)
    layout = Layout.load(str(folder / "layout.yaml"), folder)
    sequences = NearMiss("", "", layout).sequences(recordings(layout, 12, seed=3))
    model = load_causal_lm(folder, layout.tokenizer)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    scored = likelihood(model, sequences, other_last=[layout.stops[0], 5])
    for i, (sequence, found) in enumerate(zip(sequences, token_logprobs(model, sequences), strict=True)):
        whole = torch.tensor([[*sequence.context, *sequence.target]])
        with torch.inference_mode():
            logprobs = plain(whole).logits[0].log_softmax(-1)
        expected = torch.stack(
            [logprobs[len(sequence.context) - 1 + t, token] for t, token in enumerate(sequence.target)]
        )
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert scored.totals[i] == pytest.approx(float(expected.sum()), abs=1e-4 * len(expected))
        assert scored.last[i] == pytest.approx(float(expected[-1]), abs=1e-4)
        assert scored.other_last[i, 0] == pytest.approx(scored.last[i])
        assert scored.other_last[i, 1] == pytest.approx(float(logprobs[-2, 5]), abs=1e-4)


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (TokenSequence([], [1]), "needs a context and a target"),
        (TokenSequence([1], []), "needs a context and a target"),
        (TokenSequence([1] * 512, [1]), "513 tokens exceeds the model's 512 positions"),
    ],
)
def test_a_sequence_that_cannot_be_scored_is_refused(trained, sequence, message):
    folder = trained("cosyvoice2")
    model = load_causal_lm(folder, Layout.load(str(folder / "layout.yaml"), folder).tokenizer)
    with pytest.raises(InputError, match=message):
        likelihood(model, [sequence])
