"""The texts to listen to: each system's audio with its transcript and speaker similarity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common.page.sounds import Sound, embed, must_compress
from tasks.common.progress import Bar
from tasks.report.load import Inputs
from tasks.report.results import SYSTEM_TITLES


@dataclass(frozen=True)
class Tile:
    """One recording of one utterance."""

    title: str
    style: str
    sound: Sound | None
    row: dict[str, Any] | None  # its judgement; a voice prompt has none
    missing: str  # why there is no sound


@dataclass(frozen=True)
class Card:
    """One text; ``entry`` holds its id, text, speaker, whether that is seen, and the id of its prompt."""

    entry: dict[str, Any]
    texts: str  # the set it is of
    references: list[Tile]  # prompt and golden speech; none of a text without a recording
    policies: list[Tile]  # one per iteration, its first draw at its own best decoding

    @property
    def longest(self) -> float:
        """Seconds of the longest sound: the scale of all spectrograms."""
        return max((tile.sound.seconds for tile in self.references + self.policies if tile.sound), default=0.0)


def cards(inputs: Inputs) -> tuple[list[Card], bool]:
    """Read every sound. Returns the utterances, and whether their sounds were compressed."""
    ceiling = inputs.ceiling
    files = [*ceiling.audio.values(), *(path for run in inputs.runs for path in run.audio.values())]
    compress = must_compress(files)
    judged = {(row["id"], row["system"]): row for row in ceiling.utterances}
    by_run = [
        {row["id"]: row for texts in inputs.sets for row in run.rows(texts) if row["draw"] == 0} for run in inputs.runs
    ]

    def tile(title: str, style: str, path: Path | None, row: dict[str, Any] | None, missing: str) -> Tile:
        return Tile(title, style, embed(path, compress) if path else None, row, missing)

    made = []
    index = _index(inputs)
    with Bar("report", len(index)) as bar:
        for texts, entry in index:
            name = entry["id"]
            references = []
            if texts == "recorded":
                path = ceiling.audio.get(f"{name}.prompt")
                references.append(tile("Voice prompt", "prompt", path, None, "no file"))
                for system in ("golden", "resynthesised"):
                    path, row = ceiling.audio.get(f"{name}.{system}"), judged.get((name, system))
                    references.append(tile(SYSTEM_TITLES[system], system, path, row, "not run"))
            policies = []
            for i, (run, rows) in enumerate(zip(inputs.runs, by_run, strict=True)):
                why = "no sound kept" if run.content else "not run"
                policies.append(tile(run.title, f"c{i % 8}", run.audio.get(name), rows.get(name), why))
            made.append(Card(entry, texts, references, policies))
            bar.advance()
    return made, compress


def _index(inputs: Inputs) -> list[tuple[str, dict[str, Any]]]:
    """Set and description of each text whose audio was kept, the headline's set first."""
    rows = {row["id"]: row for run in inputs.runs for row in run.utterances}
    kept = sorted({name for run in inputs.runs for name in run.audio} & set(rows))
    listed = inputs.ceiling.index
    found = [("recorded", entry) for entry in listed]
    found += [(rows[name]["set"], rows[name]) for name in kept if name not in {entry["id"] for entry in listed}]
    order = {texts: i for i, texts in enumerate(inputs.sets)}
    return sorted(found, key=lambda item: order.get(item[0], len(order)))
