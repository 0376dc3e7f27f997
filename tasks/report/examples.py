"""The utterances to listen to: each system's audio with its transcript and speaker similarity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.common.progress import Bar
from tasks.report.load import Inputs, Rows
from tasks.report.results import SYSTEM_TITLES
from tasks.report.sounds import Sound, embed, must_compress


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
    """One utterance; ``entry`` holds its id, text, speaker, whether that is seen, and the id of its prompt."""

    entry: dict[str, Any]
    references: list[Tile]  # prompt and golden speech
    policies: list[Tile]  # one per iteration

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
    by_run = [{row["id"]: row for row in run.utterances} for run in inputs.runs]

    def tile(title: str, style: str, path: Path | None, row: dict[str, Any] | None, missing: str) -> Tile:
        return Tile(title, style, embed(path, compress) if path else None, row, missing)

    made = []
    index = ceiling.index or _kept(inputs)
    with Bar("report", len(index)) as bar:
        for entry in index:
            name = entry["id"]
            references = [tile("Voice prompt", "prompt", ceiling.audio.get(f"{name}.prompt"), None, "no file")]
            for system in ("golden", "resynthesised"):
                path, row = ceiling.audio.get(f"{name}.{system}"), judged.get((name, system))
                references.append(tile(SYSTEM_TITLES[system], system, path, row, "not run"))
            policies = []
            for i, (run, rows) in enumerate(zip(inputs.runs, by_run, strict=True)):
                why = "no sound kept" if run.judged.content else "not run"
                policies.append(tile(run.title, f"c{i % 8}", run.audio.get(name), rows.get(name), why))
            made.append(Card(entry, references, policies))
            bar.advance()
    return made, compress


def _kept(inputs: Inputs) -> Rows:
    """Utterances whose audio the iterations kept: the list where the ceiling was not run."""
    rows = {row["id"]: row for run in inputs.runs for row in run.utterances}
    return [rows[name] for name in sorted({name for run in inputs.runs for name in run.audio} & set(rows))]
