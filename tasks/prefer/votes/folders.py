"""Pairs of two systems for a listening test: two folders of recordings of the same texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from model.audio import resample
from tasks.common import voice_prompts
from tasks.common.files import DataError
from tasks.common.page.numbers import count
from tasks.common.systems import Sound, System, check_apart, load, read_system
from tasks.common.text_lists import Text, TextList, read_texts, some
from tasks.prefer.votes.design import Pair, Take
from tasks.prefer.votes.sounds import speech_rms

LONGEST = 60.0  # seconds of one sound: nobody compares longer ones
HIGHEST_RATE = 48000  # Hz
ALIKE = 1e-3  # of the RMS, at one loudness: 60 dB below the speech


@dataclass(frozen=True)
class Compared:
    """Pairs of two systems. ``notes`` name texts without two usable sounds, and files that belong to no text."""

    systems: list[str]
    pairs: list[Pair]
    rate: int
    notes: list[str]


def read(
    before: str, after: str, texts: str, prompts: str | None, with_reference: bool, rng: np.random.Generator
) -> Compared:
    """Pair one draw of each text by each system.

    Args:
        prompts: folder of voice prompts; None: those that the list of texts names (:mod:`tasks.common.voice_prompts`).
        with_reference: each pair needs its voice prompt.

    Raises:
        DataError: a folder or list cannot be read, both systems are one folder, or no text has two usable sounds.
    """
    listed = read_texts(texts)
    check_apart([before, after])
    systems = [read_system(before, listed.texts), read_system(after, listed.texts)]
    names = _names(systems)
    voices = _prompts(listed, prompts) if with_reference else {}
    lost: dict[str, list[str]] = {name: [] for name in (*names, "prompts")}
    usable: list[tuple[Text, list[Path]]] = []
    alike: list[str] = []
    rates = set()
    for id_, text in listed.texts.items():
        files = [_draw(system, id_, rng) for system in systems]
        if with_reference:
            files.append(voices.get(id_))
        found = [load(file, text.words if place < 2 else 0) for place, file in enumerate(files)]
        bad = [not len(sound.samples) or sound.seconds > LONGEST for sound in found]
        for name, sound, is_bad in zip(lost, found, bad, strict=False):
            if is_bad:
                lost[name].append(f"{id_} ({sound.problem or f'{sound.seconds:.0f} s are too long to compare'})")
        if not any(bad) and _alike(found[0], found[1]):
            alike.append(id_)
        elif not any(bad):
            usable.append((text, [file for file in files if file]))
            rates |= {sound.rate for sound in found}
    notes = [
        f"{name}: {some(system.strangers)} belong to no text"
        for name, system in zip(names, systems, strict=True)
        if system.strangers
    ]
    notes += [f"{name}: no usable sound of {count(len(ids), 'text')}: {some(ids)}" for name, ids in lost.items() if ids]
    if alike:
        notes.append(f"both systems have one sound of {count(len(alike), 'text')}, left out: {some(alike)}")
    if not usable:
        raise DataError(f"no text has usable sounds of both systems that differ: {'; '.join(notes)}")
    rate = min(HIGHEST_RATE, max(rates))
    pairs = []
    for text, sounds in usable:
        a, b = (
            Take(name, file.relative_to(system.folder).as_posix(), partial(_wave, file, rate))
            for name, system, file in zip(names, systems, sounds[:2], strict=True)
        )
        pairs.append(Pair(text.id, text.text, a, b, partial(_wave, sounds[2], rate) if with_reference else None))
    return Compared(names, pairs, rate, notes)


def _names(systems: list[System]) -> list[str]:
    """Return the folders' names, with as many folders above as tell the two apart."""
    parts = [system.folder.resolve().parts for system in systems]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if names[0] != names[1]:
            return names
    raise DataError(f"both systems are the folder {systems[0].folder}; expected two")


def _prompts(listed: TextList, prompts: str | None) -> Mapping[str, Path]:
    found = voice_prompts.find(listed, prompts)
    if not found:
        raise DataError(
            f"{listed.source} names no voice prompts, which raters compare each voice with; add a column prompt, "
            "name a folder with --prompts, or leave out the scale similarity"
        )
    return found


def _draw(system: System, id_: str, rng: np.random.Generator) -> Path | None:
    files = system.recordings.get(id_, [])
    return files[int(rng.integers(len(files)))] if files else None


def _alike(a: Sound, b: Sound) -> bool:
    """Return whether two sounds are one, at one loudness: there is nothing to vote on."""
    if a.rate != b.rate or len(a.samples) != len(b.samples):
        return False
    at_one_loudness = (sound.samples / speech_rms(sound.samples, sound.rate) for sound in (a, b))
    return bool(np.abs(np.subtract(*at_one_loudness)).max() < ALIKE)


def _wave(file: Path, rate: int) -> np.ndarray:
    sound = load(file, 1)
    return resample(sound.samples, from_rate=sound.rate, to_rate=rate)
