"""Every recording of a system as one row of measures, in the columns that the table of metrics reads.

A recording that can't be judged at all (missing, broken, silent) counts against its system, as everywhere in this
project: all words are left out, similarity is 0 and predicted MOS is the scale's lowest. A recognizer that fails gives
no count at all: that utterance is unjudged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from model.audio import resample
from model.errors import InputError
from model.fast.parallel import parallel_map
from model.judges import mos, pitch, words
from model.judges.panel import judgement_of
from model.judges.silence import silence
from model.judges.waves import SAMPLE_RATE, at_judge_rate, cosine
from model.metrics import LOWEST_MOS, count_missing
from tasks.common.systems import Sound, System, load
from tasks.common.text_lists import Text, some
from tasks.gate.judges import Judges

Row = dict[str, Any]
PART = 32  # recordings read and judged at a time: their audio is not kept
SET = "texts"  # there is one set of texts
_ASKED = ("words", "characters", "folded_words")  # known even if nothing was read
_COUNTS = ("word_errors", "character_errors", "folded_word_errors", "deletions", "insertions", "spoken_words", *_ASKED)


def measure(
    system: System, texts: Mapping[str, Text], judges: Judges, voices: Voices, done: Callable[[int], None]
) -> list[Row]:
    """Return one row per draw of each text, in the order of the texts; a missing draw has one too.

    Args:
        judges: as loaded; other threads work with copies.
        done: is told how many recordings more are judged.
    Raises:
        InputError: a recognizer failed on every recording.
    """
    wanted = [
        (text, draw, found[draw] if draw < len(found := system.recordings.get(text.id, [])) else None)
        for text in texts.values()
        for draw in range(system.draws)
    ]
    parts = [wanted[first : first + PART] for first in range(0, len(wanted), PART)]
    team = judges.team(len(parts))

    def one(worker: int, part: list[tuple[Text, int, Any]]) -> list[Row]:
        sounds = [load(path, text.words) for text, _, path in part]
        rows = _judge(team[worker], [text for text, _, _ in part], sounds, voices)
        done(len(part))
        return [
            {
                **row,
                "id": text.id,
                "system": system.name,
                "set": SET,
                "speaker": text.speaker,
                "text": text.text,
                "prompt_id": text.prompt,
                "draw": draw,
                "file": path.relative_to(system.folder).as_posix() if path else None,
            }
            for row, (text, draw, path) in zip(rows, part, strict=True)
        ]

    return [row for rows in parallel_map(one, parts, judges.device) for row in rows]


def without_words(texts: Mapping[str, Text]) -> list[str]:
    """Return the ids of texts that have no word to compare after normalization."""
    return [name for name, text in texts.items() if not words.compare(text.text, "").wanted]


class Voices:
    """Voice prompts, embedded once by each measure of voice; texts without one have no similarity."""

    def __init__(self, judges: Judges, sounds: Mapping[str, Sound]):
        """``sounds``: the prompt of each text, by the text's id."""
        self.known: dict[str, tuple[np.ndarray, ...]] = {}
        embedded: dict[str, tuple[np.ndarray, ...]] = {}
        for name, sound in sounds.items():
            key = _digest(sound)
            if key not in embedded:
                wave = resample(sound.samples, from_rate=sound.rate, to_rate=SAMPLE_RATE)
                embedded[key] = tuple(rows[0] for rows in judges.embed([wave]))
            self.known[name] = embedded[key]
        if broken := [name for name, rows in self.known.items() if np.isnan(rows[0]).any()]:
            raise InputError(f"the voice prompts of {some(broken)} have no sound to compare with; give others")


def _judge(judges: Judges, texts: Sequence[Text], sounds: Sequence[Sound], voices: Voices) -> list[Row]:
    """Return the measures of some recordings."""
    waves = [at_judge_rate([sound.samples], sound.rate)[0] for sound in sounds]
    asked = [text.text for text in texts]
    readings = judges.read(waves, asked)
    rows: list[Row] = []
    for text, sound, (first, second) in zip(asked, sounds, readings, strict=True):
        row = _counts(text, first.text)
        row |= {"hypothesis": first.text, "unjudged": int(first.text is None), "unjudged_why": first.problem}
        row |= {"held_out_hypothesis": None, "held_out_word_errors": None, "held_out_unjudged_why": ""}
        if second is not None:
            row["held_out_hypothesis"], row["held_out_unjudged_why"] = second.text, second.problem
            if second.text is not None:
                row["held_out_word_errors"] = words.compare(text, second.text).words.errors
        row |= {"seconds": sound.seconds, "speech_seconds": sound.seconds or None}
        row |= {"finished": not sound.problem, "problem": sound.problem}
        rows.append(row)
    scores = mos.predict(judges.mos, waves) if judges.mos is not None else [None] * len(waves)
    similarities = _similarities(judges, waves, [voices.known.get(text.id) for text in texts])
    for i, (row, sound, wave) in enumerate(zip(rows, sounds, waves, strict=True)):
        row["mos"] = None if judges.mos is None else LOWEST_MOS if scores[i] is None else scores[i]
        row["similarity"], row["held_out_similarity"] = similarities[i]
        row["f0_spread"] = pitch.f0_spread(sound.samples, sound.rate)
        row["silence"] = silence(wave)
    return rows


def _similarities(
    judges: Judges, waves: Sequence[np.ndarray], prompts: Sequence[tuple[np.ndarray, ...] | None]
) -> list[tuple[float | None, float | None]]:
    """Return the similarity to the prompt by either measure of voice; None without a prompt, or without the measure."""
    found: list[list[float | None]] = [[None] * len(waves), [None] * len(waves)]
    prompted = [i for i, prompt in enumerate(prompts) if prompt is not None]
    if prompted:
        for measure, embedded in enumerate(judges.embed([waves[i] for i in prompted])):
            wanted = np.stack([prompt[measure] for prompt in prompts if prompt is not None])
            for i, similarity in zip(prompted, count_missing(cosine(embedded, wanted)), strict=True):
                found[measure][i] = float(similarity)
    return list(zip(*found, strict=True))


def _counts(text: str, hypothesis: str | None) -> Row:
    """Return the counts of what was read; how many words were asked for is known in any case."""
    found = asdict(judgement_of(text, hypothesis or "", 0.0))
    return {name: found[name] if hypothesis is not None or name in _ASKED else None for name in _COUNTS}


def _digest(sound: Sound) -> str:
    return hashlib.sha256(sound.samples.tobytes() + str(sound.rate).encode()).hexdigest()
