"""The held-out judges as params.yaml names them, the measure of voice fitted to golden train speech."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from model.codecs.facts import codec_facts
from model.errors import InputError
from model.judges import grammar, timbre
from model.judges.held_out import DIGITS, HeldOut
from model.judges.panel import at_judge_rate
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.golden_audio import load_waves
from tasks.common.params import Params

Row = dict[str, Any]  # of schemas.CODES
FIT_UTTERANCES = 400  # of train; more change nothing that can be measured
FEWEST_EACH = 4  # of a speaker, if there are so many: one alone says nothing about how a speaker varies


def load(params: Params, device: torch.device, texts: list[str]) -> HeldOut:
    """The judges of ``models.held_out_recognizer`` and ``held_out_speaker`` for a test set of these texts.

    Where PocketSphinx is not installed, or train has one speaker only, a warning says so and that judge is left out.

    Raises:
        DataError: the recogniser can't read these texts, or train has too little speech to fit the measure of voice;
            the message names the setting to change.
    """
    recognizer, voices = params.models.held_out_recognizer, None
    if recognizer == DIGITS and (unknown := grammar.unknown_words(texts)):
        raise DataError(
            f"models.held_out_recognizer is {DIGITS}, which knows the ten digits only, but the test texts also have "
            f"{', '.join(map(repr, unknown[:5]))}{' and others' if len(unknown) > 5 else ''}; set it to a Whisper "
            "(a folder or a published name, another than models.recognizer) or to null"
        )
    train = read_table(paths.codes("train"), schemas.CODES) if params.models.held_out_speaker else []
    if train and len({row["speaker"] for row in train}) < 2:
        print(
            f"warning: models.held_out_speaker is {params.models.held_out_speaker}, which tells speakers apart, but "
            "train has one only, so no held-out measure of voice listens; null leaves it out without a word",
            file=sys.stderr,
        )
    elif train:
        rows = chosen(train, params.seed)
        golden = load_waves("train", [row["id"] for row in rows])
        rate = codec_facts(params.models.codec).sample_rate
        waves = at_judge_rate([golden[row["id"]] for row in rows], rate)
        try:
            voices = timbre.fit(waves, [row["speaker"] for row in rows])
        except InputError as error:
            raise DataError(
                f"models.held_out_speaker is timbre, which can't be fitted to train: {error}; set it to null"
            ) from error
    try:
        return HeldOut(recognizer, voices, device)
    except ImportError:
        # No reason to fail after minutes of training: the columns stay empty, and report and gate say so.
        print(
            f"warning: models.held_out_recognizer is {recognizer}, but the package pocketsphinx is not installed (it "
            "has no wheel for ARM Linux), so no held-out recogniser listens. A Whisper (a folder or a published name, "
            "another than models.recognizer) would do; null leaves it out without a word",
            file=sys.stderr,
        )
        return HeldOut(None, voices, device)


def chosen(rows: list[Row], seed: int) -> list[Row]:
    """The train utterances to fit the measure of voice to: as many of each speaker, drawn with ``seed``."""
    by_speaker: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["id"]):
        by_speaker.setdefault(row["speaker"], []).append(row)
    rng = np.random.default_rng(seed)
    each = max(FEWEST_EACH, -(-FIT_UTTERANCES // max(1, len(by_speaker))))
    taken: list[Row] = []
    for speaker in rng.permutation(sorted(by_speaker)):
        members = by_speaker[str(speaker)]
        taken += [members[i] for i in rng.permutation(len(members))[:each]]
    return taken[:FIT_UTTERANCES]
