"""The utterances to listen to: each system's audio with its transcript and speaker similarity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.common.scores import METRICS
from tasks.report import numbers
from tasks.report.load import SYSTEMS, Inputs
from tasks.report.results import SYSTEM_TITLES, title
from tasks.report.sounds import Sound, embed, must_compress
from tasks.report.words import Word, compare


@dataclass(frozen=True)
class Tile:
    """One sound of one utterance."""

    title: str
    style: str
    sound: Sound | None  # None: not run, or no file
    width: float = 0.0  # percent of the utterance's longest sound
    words: list[Word] = field(default_factory=list)
    score: str = ""
    missing: str = ""  # why there is no audio
    problem: str = ""  # why it counts as failed


@dataclass(frozen=True)
class Card:
    id: str
    text: str
    speaker: str
    seen: bool
    prompt_id: str
    references: list[Tile]  # prompt and golden speech
    policies: list[Tile]  # one per iteration


@dataclass(frozen=True)
class Source:
    """One recording to put on a tile. ``row`` is its judgement; a prompt has none."""

    title: str
    style: str
    path: Path | None
    row: dict[str, Any] | None
    missing: str


def sources(inputs: Inputs) -> list[tuple[dict[str, Any], list[Source]]]:
    """The chosen utterances, each with its recordings in the order in which they are compared."""
    judged = {(row["id"], row["system"]): row for row in inputs.ceiling.utterances}
    by_run = {run.name: {row["id"]: row for row in run.utterances} for run in inputs.runs}
    chosen = []
    for entry in _index(inputs):
        name = entry["id"]
        found = [Source("Voice prompt", "prompt", inputs.ceiling.audio.get((name, "prompt")), None, "no file")]
        for system in SYSTEMS:
            path = inputs.ceiling.audio.get((name, system))
            if path or system != "golden_nar":  # golden level 1 through the NAR need not be kept as sound
                found.append(Source(SYSTEM_TITLES[system], system, path, judged.get((name, system)), "not run"))
        for position, run in enumerate(inputs.runs):
            why = "not run" if run.judged is None else "no sound kept"
            row = by_run[run.name].get(name)
            found.append(Source(title(run), f"c{position % 8}", run.audio.get(name), row, why))
        chosen.append((entry, found))
    return chosen


def _index(inputs: Inputs) -> list[dict[str, Any]]:
    """The ceiling's list, or the audio kept by the iterations where the ceiling was not run."""
    if inputs.ceiling.index:
        return inputs.ceiling.index
    rows = {row["id"]: row for run in inputs.runs for row in run.utterances}
    kept = sorted({name for run in inputs.runs for name in run.audio} & set(rows))
    return [rows[name] for name in kept]


def cards(chosen: list[tuple[dict[str, Any], list[Source]]], advance: Callable[[], None]) -> tuple[list[Card], bool]:
    """Read every sound; ``advance`` is called after each utterance. Returns whether sounds were compressed, too."""
    compress = must_compress(source.path for _, found in chosen for source in found if source.path)
    made = []
    for entry, found in chosen:
        sounds = [embed(source.path, compress) if source.path else None for source in found]
        longest = max((sound.seconds for sound in sounds if sound), default=0.0) or 1.0
        text = str(entry.get("text", ""))
        tiles = [_tile(source, sound, longest, text) for source, sound in zip(found, sounds, strict=True)]
        made.append(
            Card(
                id=entry["id"],
                text=text,
                speaker=str(entry.get("speaker", "")),
                seen=bool(entry.get("seen", True)),
                prompt_id=str(entry.get("prompt_id", "")),
                references=[tile for tile in tiles if not tile.style.startswith("c")],
                policies=[tile for tile in tiles if tile.style.startswith("c")],
            )
        )
        advance()
    return made, compress


def _tile(source: Source, sound: Sound | None, longest: float, text: str) -> Tile:
    row = source.row
    problem = ""
    if row and not row["finished"]:
        problem = "cut off at the length limit"
    elif row and not row["seconds"]:
        problem = "no sound was made"
    return Tile(
        title=source.title,
        style=source.style,
        sound=sound,
        width=round(100 * sound.seconds / longest, 2) if sound else 0.0,
        words=compare(text, row["hypothesis"] or "") if row else [],
        score=score(row) if row else "",
        missing="" if sound or problem else source.missing,
        problem=problem,
    )


def score(row: dict[str, Any]) -> str:
    """``1 of 3 words wrong, SIM 0.812``."""
    similarity = numbers.number(row["similarity"] or 0.0, METRICS["similarity"].digits)
    wrong = f"{row['word_errors']} of {numbers.count(row['words'], 'word')} wrong" if row["word_errors"] else "no error"
    return f"{wrong}, SIM {similarity}"
