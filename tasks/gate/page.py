"""The page: verdict, numbers, and audio side by side, the texts with the largest losses first. One file, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common.files import write_text
from tasks.common.page.html import environment, script_safe, sealed
from tasks.common.page.sounds import Sound, embed_wave
from tasks.common.systems import load
from tasks.gate import show
from tasks.gate.findings import SHOWN
from tasks.gate.output import written_out
from tasks.gate.run import Judged
from tasks.gate.verdict import Answer, Verdict

TEMPLATES = Path(__file__).parent / "templates"
LOSSLESS = 4_000_000  # samples on a page; more are compressed, so that it stays below 10 MB
SILENT = "no sound"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """One recording: who made it, its sound and what was found."""

    title: str
    style: str
    sound: Sound | None
    row: Row | None  # None: a voice prompt

    @property
    def problem(self) -> str:
        """Why it counts as a failure, or as unjudged."""
        if self.row is None:
            return ""
        return str(self.row["problem"] or (f"unjudged: {self.row['unjudged_why']}" if self.row["unjudged"] else ""))


@dataclass(frozen=True)
class Card:
    """One text with every system's first draw, or the draw that lost most."""

    text: Row
    loss: float
    tiles: list[Tile]

    @property
    def longest(self) -> float:
        """Seconds of the longest sound: the scale of all spectrograms."""
        return max((tile.sound.seconds for tile in self.tiles if tile.sound), default=0.0)


def write(path: Path, verdicts: Sequence[Verdict], judged: Judged, answer: Answer, examples: int) -> None:
    """Write the page, whole or not at all."""
    write_text(path, written_out(render(verdicts, judged, answer, examples)))


def render(verdicts: Sequence[Verdict], judged: Judged, answer: Answer, examples: int) -> str:
    """Return the page as one string of HTML; every value from outside is escaped."""
    direction = {"better": "better", "worse": "worse", "not shown": ""}[answer]
    failures = [
        (system.name, row)
        for system, rows in zip(judged.systems, judged.rows, strict=True)
        for row in rows
        if row["problem"] or row["unjudged"]
    ]
    return (
        environment(TEMPLATES)
        .get_template("gate.html.j2")
        .render(
            verdicts=verdicts,
            judged=judged,
            answer=answer,
            direction=direction,
            show=show,
            SHOWN=SHOWN,
            cards=cards(judged, examples),
            texts=len(judged.material.texts.texts),
            failures=failures,
            data=script_safe(show.as_dict(verdicts, judged, answer)),
            **sealed(),
        )
    )


def loss(before: Row, after: Row) -> float:
    """How much worse a recording is than another of the same text: in words, voice and predicted MOS.

    One unit is a wrong word in five, 0.1 of similarity, or half a point of MOS; a failure counts three.
    """
    found = 3.0 * (bool(after["problem"]) - bool(before["problem"]))
    if None not in (before["word_errors"], after["word_errors"]):
        found += 5 * (after["word_errors"] - before["word_errors"]) / max(1, after["words"])
    else:
        found += bool(after["unjudged"]) - bool(before["unjudged"])
    for column, unit in (("similarity", 0.1), ("mos", 0.5)):
        if None not in (before[column], after[column]):
            found += (before[column] - after[column]) / unit
    return found


def cards(judged: Judged, examples: int) -> list[Card]:
    """Return the texts on which the second system loses most against the first, worst first."""
    by_text: list[dict[str, list[Row]]] = []
    for rows in judged.rows:
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(row["id"], []).append(row)
        by_text.append(grouped)
    first, second = by_text[:2]
    chosen = []
    for name, drawn in second.items():
        draw = max(range(len(drawn)), key=lambda i: loss(first[name][0], drawn[i]))
        chosen.append((loss(first[name][0], drawn[draw]), name, draw))
    chosen.sort(key=lambda one: (-one[0], one[1]))
    picked = chosen[:examples]
    compress = _samples(judged, [name for _, name, _ in picked]) > LOSSLESS
    return [_card(judged, by_text, found, name, draw, compress) for found, name, draw in picked]


def _card(
    judged: Judged, by_text: Sequence[dict[str, list[Row]]], found: float, name: str, draw: int, compress: bool
) -> Card:
    tiles = []
    if prompt := judged.material.voices.get(name):
        tiles.append(Tile("Voice prompt", "prompt", embed_wave(prompt.samples, prompt.rate, compress), None))
    for i, (system, rows) in enumerate(zip(judged.systems, by_text, strict=True)):
        at = draw if i == 1 else 0
        path = system.recordings.get(name, [None] * (at + 1))[at : at + 1]
        row = rows[name][at]
        sound = load(path[0] if path else None, row["words"])
        embedded = embed_wave(sound.samples, sound.rate, compress) if len(sound.samples) else None
        tiles.append(Tile(system.name, f"c{i % 8}", embedded, row))
    return Card(by_text[1][name][draw], found, tiles)


def _samples(judged: Judged, names: Sequence[str]) -> float:
    """Samples that the page would hold, at 16 kHz."""
    chosen = set(names)
    seconds = sum(row["seconds"] for rows in judged.rows for row in rows if row["id"] in chosen and row["draw"] == 0)
    seconds += sum(judged.material.voices[name].seconds for name in chosen if name in judged.material.voices)
    return 16000 * seconds
