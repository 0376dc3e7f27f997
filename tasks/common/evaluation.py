"""The texts of dev and test with all that a system is given or compared with: voice prompt, seed, golden voice.

There are two sets. ``recorded`` are utterances of the corpus, ``long`` are texts without a recording. The scores of
the judged utterances are computed in :mod:`tasks.common.scores`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from model.drawing import Decoding
from model.judges.held_out import HeldOut, SecondOpinion
from model.judges.panel import Judgement, Panel
from model.layouts.speech import VoicePrompt
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.params import Params
from tasks.common.scores import SETS
from tasks.common.utterances import Utterances, load_waves
from tasks.common.voices import Voices

Row = dict[str, Any]
GOLDEN: Row = {"draw": 0, "decoding": None, "temperature": None, "top_k": None, "top_p": None, "finished": True}


class Judges(NamedTuple):
    """Those whose scores choose pairs, and those whose scores choose none."""

    panel: Panel
    held_out: HeldOut

    def for_thread(self) -> Judges:
        """Return the judges for another thread."""
        return Judges(self.panel.for_thread(), self.held_out.for_thread())


class EvaluationSet:
    """Texts of one split, recorded ones first, each with its voice prompt.

    ``rows`` have the columns id, set, speaker, seen, text, prompt_id and golden_seconds of ``schemas.UTTERANCES``.
    """

    def __init__(self, rows: list[Row], prompts: list[VoicePrompt], golden: dict[str, np.ndarray], seed: int):
        """``prompts``: one per row; ``golden``: waveforms of the prompt utterances by id."""
        self.rows, self.prompts, self.golden, self.seed = rows, prompts, golden, seed
        self._embedded: dict[Panel | HeldOut, np.ndarray] = {}

    @classmethod
    def read(cls, split: str, params: Params, sets: Sequence[str] = SETS) -> EvaluationSet:
        """Read the texts of a split; the long set may be empty.

        Raises:
            DataError: a missing or damaged file, or a text whose prompt is no utterance of the split.
        """
        utterances = Utterances.read(split)
        rows = _recorded(utterances, params) if "recorded" in sets else []
        if "long" in sets:
            rows += _long(split)
        try:
            voices = Voices.of(utterances, params)
            prompts = [voices.prompt_of(row["prompt_id"]) for row in rows]
        except KeyError as error:
            raise DataError(
                f"{paths.texts(split)} prompts a voice with {error}, which {paths.codes(split)} lacks; "
                "run `texts` again"
            ) from error
        return cls(rows, prompts, load_waves(split, {row["prompt_id"] for row in rows}), params.seed)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        """The texts in the order of the rows."""
        return [row["text"] for row in self.rows]

    def seeds(self, draw: int) -> list[int]:
        """Return each text's seed for one of its draws: the same for every policy, so that differences are paired."""
        return [seed_of(self.seed, f"{row['id']}/{draw}") for row in self.rows]

    def voices(self, judge: Panel | HeldOut, sample_rate: int) -> np.ndarray:
        """Embeddings ``(texts, d)`` of each text's voice prompt (the whole prompt utterance, golden audio)."""
        if judge not in self._embedded:
            unique = sorted({row["prompt_id"] for row in self.rows})
            embedded = judge.embed([self.golden[i] for i in unique], sample_rate)
            self._embedded[judge] = embedded[[unique.index(row["prompt_id"]) for row in self.rows]]
        return self._embedded[judge]


def judge(
    judges: Judges,
    rows: Sequence[Row],
    waves: Sequence[np.ndarray],
    sample_rate: int,
    voices: Sequence[np.ndarray],
) -> list[Row]:
    """Judge one waveform per row of an evaluation set; none is ever left out.

    Args:
        voices: of :meth:`EvaluationSet.voices`, for the panel and for the held-out judges.
    Returns:
        the rows with the judges' columns of ``schemas.UTTERANCES``.
    """
    texts = [row["text"] for row in rows]
    judgements = judges.panel.judge(waves, sample_rate, texts, voices[0])
    opinions = judges.held_out.judge(waves, sample_rate, texts, voices[1])
    return [
        {**row, **asdict(judgement), "seconds": len(wave) / sample_rate, **_held_out_columns(opinion)}
        for row, wave, judgement, opinion in zip(rows, waves, judgements, opinions, strict=True)
    ]


def decoding_columns(decoding: Decoding) -> Row:
    """Return temperature, top_k and top_p, as tables and metrics.json name them."""
    return {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}


def seed_of(seed: int, name: str) -> int:
    """A 62-bit seed from the loop's seed and the name of what is drawn."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 2


def audio_choice(rows: Sequence[Row], n: int) -> list[int]:
    """Indices of the utterances whose audio is kept: even steps of the sorted ids, seen and unseen alternating."""
    order = sorted(range(len(rows)), key=lambda i: rows[i]["id"])
    kinds = [[i for i in order if rows[i]["seen"] is seen] for seen in (True, False)]
    share = [n - n // 2, n // 2] if all(kinds) else [n, n]
    chosen = []
    for members, k in zip(kinds, share, strict=True):
        if members:
            chosen += [members[int(j)] for j in np.linspace(0, len(members) - 1, min(k, len(members)))]
    return chosen


def write_flac(path: Path, wave: np.ndarray, sample_rate: int) -> None:
    """Write samples, clipped to [-1, 1]; one silent sample where there are none."""
    soundfile.write(path, np.clip(wave, -1, 1) if wave.size else np.zeros(1, np.float32), sample_rate, format="FLAC")


def _recorded(utterances: Utterances, params: Params) -> list[Row]:
    return [
        {
            "id": utterances.ids[i],
            "set": "recorded",
            "speaker": utterances.speakers[i],
            "seen": bool(utterances.seen[i]),
            "text": utterances.texts[i],
            "prompt_id": utterances.ids[utterances.fixed(i, params.seed)],
            "golden_seconds": float(utterances.seconds[i]),
        }
        for i in range(len(utterances))
    ]


def _long(split: str) -> list[Row]:
    rows = read_table(paths.texts(split), schemas.TEXTS)
    return [{**row, "set": "long", "golden_seconds": None} for row in rows]


def _held_out_columns(opinion: SecondOpinion) -> Row:
    """Columns of ``schemas.UTTERANCES``: what an own judge measures too is marked as held out."""
    twice = Judgement.__dataclass_fields__
    return {f"held_out_{name}" if name in twice else name: value for name, value in vars(opinion).items()}
