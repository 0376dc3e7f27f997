"""The judges of params.yaml: the names by which tables and model versions give them, and the held-out ones loaded."""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from model.codecs.facts import codec_facts
from model.errors import InputError
from model.judges import grammar, timbre
from model.judges.held_out import DIGITS, HeldOut
from model.judges.waves import at_judge_rate
from tasks.common import digests, paths
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.utterances import Utterances, load_waves

SPEAKER_ENCODER = f"resemblyzer@{version('resemblyzer')}"  # its weights come with the package
FIT_UTTERANCES = 400  # of train; more change nothing that can be measured
FEWEST_EACH = 4  # of a speaker, if there are so many: one alone does not show how a speaker varies


def recognizer_name(recognizer: str) -> str:
    """Recognizer's name and, for a local checkpoint, the digest of its weights: ``checkpoints/whisper@1f2e…``."""
    weights = Path(recognizer) / "model.safetensors"
    if not weights.is_file():
        return recognizer
    return f"{recognizer}@{hashlib.md5(weights.read_bytes()).hexdigest()[:12]}"


def held_out_names(params: Params) -> str:
    """The judges that choose no pairs; the speaker measure with the digest of the speech that it is fitted to."""
    names = [recognizer_name(params.models.held_out_recognizer)] if params.models.held_out_recognizer else []
    if measure := params.models.held_out_speaker:
        fitted_to = paths.codes("train")
        names.append(f"{measure}@{digests.md5(fitted_to)[:12]}" if fitted_to.is_file() else measure)
    return ", ".join(names) or "none"


def load_held_out(params: Params, device: torch.device, texts: list[str]) -> HeldOut:
    """The judges of ``models.held_out_recognizer`` and ``held_out_speaker`` for a test set of these texts.

    A judge is left out with a warning where PocketSphinx is not installed, or where train has one speaker only.

    Raises:
        DataError: the recognizer can't read these texts, or train has too little speech to fit the speaker measure;
            the message names the setting to change.
    """
    recognizer = params.models.held_out_recognizer
    if recognizer == DIGITS and (unknown := grammar.unknown_words(texts)):
        raise DataError(
            f"models.held_out_recognizer is {DIGITS}, which knows the ten digits only, but the test texts also have "
            f"{', '.join(map(repr, unknown[:5]))}{' and others' if len(unknown) > 5 else ''}; set it to a Whisper "
            "(a folder or a published name, another than models.recognizer) or to null"
        )
    voices = _fitted_timbre(params) if params.models.held_out_speaker else None
    try:
        return HeldOut(recognizer, voices, device)
    except ImportError:
        # No reason to fail after minutes of training: the columns stay empty, and report and gate say so.
        print(
            f"warning: models.held_out_recognizer is {recognizer}, but the package pocketsphinx is not installed (it "
            "has no wheel for ARM Linux), so there is no held-out recognizer. A Whisper (a folder or a published "
            "name, another than models.recognizer) would do; null avoids this warning",
            file=sys.stderr,
        )
        return HeldOut(None, voices, device)


def _fitted_timbre(params: Params) -> timbre.Timbre | None:
    """The speaker measure fitted to golden train speech; None, with a warning, where train has one speaker only."""
    train = Utterances.read("train", levels=0)
    if len(set(train.speakers)) < 2:
        if train:
            print(
                f"warning: models.held_out_speaker is {params.models.held_out_speaker}, which tells speakers apart, "
                "but train has one only, so there is no held-out speaker measure; null avoids this warning",
                file=sys.stderr,
            )
        return None
    chosen = fitting_sample(train, params.seed)
    ids = [train.ids[i] for i in chosen]
    golden = load_waves("train", ids)
    rate = codec_facts(params.models.codec).sample_rate
    waves = at_judge_rate([golden[i] for i in ids], rate)
    try:
        return timbre.fit(waves, [train.speakers[i] for i in chosen])
    except InputError as error:
        raise DataError(
            f"models.held_out_speaker is timbre, which can't be fitted to train: {error}; set it to null"
        ) from error


def fitting_sample(train: Utterances, seed: int) -> list[int]:
    """Positions of the utterances to fit the speaker measure to: as many per speaker, drawn with ``seed``."""
    by_speaker: dict[str, list[int]] = {}
    for index in train.order.tolist():
        by_speaker.setdefault(train.speakers[index], []).append(index)
    rng = np.random.default_rng(seed)
    each = max(FEWEST_EACH, -(-FIT_UTTERANCES // max(1, len(by_speaker))))
    taken: list[int] = []
    for speaker in rng.permutation(sorted(by_speaker)):
        members = by_speaker[str(speaker)]
        taken += [members[i] for i in rng.permutation(len(members))[:each]]
    return taken[:FIT_UTTERANCES]
