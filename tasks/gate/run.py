"""A whole comparison: read texts, systems and prompts, judge every recording, decide."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import InputError
from tasks.common import voice_prompts
from tasks.common.page.numbers import count
from tasks.common.progress import Bar
from tasks.common.systems import Sound, System, check_apart, read_system
from tasks.common.text_lists import TextList, read_texts, some
from tasks.gate.findings import MOST_DRAWS
from tasks.gate.heartbeat import Heartbeat

if TYPE_CHECKING:
    from tasks.gate.judges import Named

Row = dict[str, Any]
ABSENT = "{} named in {} can't be found ({}); similarity is measured without"
BRACKETS = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]+\)")  # what Whisper's normalizer takes for remarks


@dataclass(frozen=True)
class Material:
    """What there is to judge, checked, with no audio read but the prompts'."""

    texts: TextList
    systems: list[System]
    prompts: dict[str, Path]
    voices: dict[str, Sound]


@dataclass(frozen=True)
class Judged:
    """Rows of each system, with the names of the judges that made them."""

    material: Material
    rows: list[list[Row]]  # one list per system
    judges: dict[str, str | None]
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def systems(self) -> list[System]:
        """The systems, in the order of their rows."""
        return self.material.systems


def read(texts: str, locations: Sequence[str], prompts: str | None) -> Material:
    """Read lists and folders; everything that is wrong with them shows here, before any model is loaded.

    Raises:
        DataError: a list, folder or prompt that can't be used.
        InputError: a folder of prompts that has none of these texts.
    """
    asked = read_texts(texts)
    check_apart(locations)
    systems = [
        read_system(location, asked.texts, name) for location, name in zip(locations, _names(locations), strict=True)
    ]
    paths = voice_prompts.find(asked, prompts)
    if not prompts and (absent := voice_prompts.absent(asked)):
        print(
            f"warning: {ABSENT.format(count(len(absent), 'voice prompt'), asked.source, some(absent))}", file=sys.stderr
        )
    return Material(asked, systems, paths, voice_prompts.read(paths))


def check_output(path: Path, option: str, material: Material) -> None:
    """Refuse an output that would replace what is read.

    Raises:
        InputError: it is the list of texts, a recording or a voice prompt.
    """
    recordings = (file for system in material.systems for own in system.recordings.values() for file in own)
    place = os.path.realpath(path)
    inputs = (material.texts.source, *material.prompts.values(), *recordings)
    if any(place == os.path.realpath(file) for file in inputs):
        raise InputError(f"{option} {path} is an input of this comparison; expected another file, such as gate.html")


def check_draws(draws: Sequence[int]) -> None:
    """Refuse systems whose draws can't be paired.

    Raises:
        InputError: their draws have no sensible common multiple.
    """
    if math.lcm(*draws) > MOST_DRAWS:
        raise InputError(
            f"the systems have {' and '.join(map(str, draws))} draws per text, which can't be paired in less than "
            f"{MOST_DRAWS + 1} rows per text; leave out some of them"
        )


def judge(material: Material, named: Named) -> Judged:
    """Judge every recording of every system by the same judges.

    Raises:
        CheckpointError: a judge does not exist or does not load.
        InputError: a recognizer failed on every recording.
    """
    from tasks.gate.judges import Judges  # torch and Whisper: seconds, after all that bad input could end
    from tasks.gate.measure import Voices, measure, without_words

    started = time.monotonic()
    texts = material.texts.texts
    if empty := without_words(texts):
        raise InputError(
            f"{material.texts.source}: no reference words in {some(empty)} once Whisper's normalizer has left out "
            "remarks in brackets; give words to compare, or leave these texts out"
        )
    with Heartbeat() as alive:
        for system in material.systems:
            alive.say(f"{system.name}: {count(len(texts) * system.draws, 'recording')} to read")
        judges = Judges(named, with_voice=bool(material.voices))
        voices = Voices(judges, material.voices)
        rows = []
        for system in material.systems:
            with Bar(f"judge {system.name}", len(texts) * system.draws) as bar:
                alive.doing = f"judging {system.name}"
                rows.append(measure(system, texts, judges, voices, bar.advance))
    return Judged(material, rows, judges.names, time.monotonic() - started, _notes(material, rows))


def _names(locations: Sequence[str]) -> list[str]:
    """Shortest ends of the paths that tell them apart: ``before``, or ``run1/wavs`` and ``run2/wavs``.

    A folder that is given twice has a number behind its name.
    """
    parts = [location.rstrip("/").split("/") for location in locations]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if max(Counter(names).values()) == 1:
            return names
    return [
        f"{location} ({locations[:i].count(location) + 1})" if location in locations[:i] else location
        for i, location in enumerate(locations)
    ]


def _notes(material: Material, rows: Sequence[Sequence[Row]]) -> list[str]:
    """What was not compared, and why."""
    texts = material.texts.texts
    notes = _about_input(material)
    for system, own in zip(material.systems, rows, strict=True):
        if system.strangers:
            files = count(len(system.strangers), "file")
            notes.append(f"of no text: {files} of {system.name} ({some(system.strangers)})")
        if missing := system.missing(texts):
            notes.append(f"without a recording by {system.name}: {count(len(missing), 'text')} ({some(missing)})")
        by_reason: dict[str, list[str]] = {}
        for row in own:
            if row["problem"]:
                by_reason.setdefault(row["problem"].partition(":")[0], []).append(row["file"] or row["id"])
        if by_reason:
            ordered = sorted(by_reason.items(), key=lambda one: -len(one[1]))
            listed = ", ".join(f"{len(names)} {reason} ({some(names)})" for reason, names in ordered)
            notes.append(
                f"{sum(map(len, by_reason.values()))} of {len(own)} recordings of {system.name} failed: {listed}"
            )
        for column, title in (("unjudged_why", "the recognizer"), ("held_out_unjudged_why", "the second recognizer")):
            if unread := [row for row in own if row[column]]:
                notes.append(
                    f"{len(unread)} of {len(own)} recordings of {system.name} could not be judged by {title}: "
                    f"{unread[0]['file']} ({unread[0][column]})" + (" and others" if len(unread) > 1 else "")
                )
    return notes


def _about_input(material: Material) -> list[str]:
    """What is unusual about texts, prompts and folders."""
    texts, notes = material.texts.texts, []
    places: dict[Path, str] = {}
    for system in material.systems:
        place = system.folder.resolve()
        if place in places:
            notes.append(f"{places[place]} and {system.name} are one folder, so they can't differ")
        places.setdefault(place, system.name)
    if not material.prompts:
        notes.append("no voice prompts, so similarity is left out (--prompts, or a column prompt)")
    elif unprompted := [name for name in texts if name not in material.prompts]:
        notes.append(
            f"without a voice prompt: {count(len(unprompted), 'text')} ({some(unprompted)}), left out of similarity"
        )
    if bracketed := [text.id for text in texts.values() if BRACKETS.search(text.text)]:
        notes.append(
            f"words in brackets: {count(len(bracketed), 'text')} ({some(bracketed)}); Whisper's normalizer leaves them "
            "out, so they are not compared"
        )
    if len({text.speaker for text in texts.values()}) < 2:
        notes.append("no speakers are named, so intervals resample texts only")
    draws = {system.name: system.draws for system in material.systems}
    if len(set(draws.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in draws.items())
        notes.append(f"draws per text differ ({listed}); each text counts once for either")
    return notes
