"""Check every utterance of a corpus, and return the audio of the usable ones when it is written.

The splits depend on what is usable, so nothing can be written before all of the corpus is checked. Until then
samples wait in a raw file, the spool, but only where they have no file of their own. Files are read a second time:
decoding twice costs less than a spool as large as the corpus (166 GB for LibriSpeech).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.spelling import Spelling
from tasks.common import audio
from tasks.common.files import DataError
from tasks.common.ordered import ordered
from tasks.common.progress import Bar
from tasks.common.rejected import Rejected
from tasks.common.text import normalize
from tasks.prepare.items import Corpus, Item
from tasks.prepare.splits import Utterance

AHEAD = 32  # utterances whose samples are held in memory
_NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)  # ids and speakers become file names


@dataclass
class Intake:
    """Usable and rejected utterances of a corpus; no samples.

    Attributes:
        spool: raw file of int16 samples at ``sample_rate``, for utterances without a file.
        pace: fewest and most characters of the text, spaces included, per second of audio.
        sources: id to where the utterance came from.
        sounds: id to its file, or to its first sample in the spool and its number of samples.
        rejected: rows of ``data/rejected.jsonl``.
    """

    spool: Path
    sample_rate: int
    limits: audio.Limits
    pace: tuple[float, float]
    spelling: Spelling
    threads: int
    utterances: list[Utterance] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    sounds: dict[str, Path | tuple[int, int]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def reject(self, id_: str, source: str, problem: Rejected) -> None:
        """Add a row to the rejected."""
        row = {"id": id_, "path": source, "reason": problem.reason}
        self.rejected.append(row | {"expected": problem.expected, "found": problem.found})

    def reasons(self) -> list[tuple[str, int]]:
        """Return how often each reason for rejection occurred, most frequent first."""
        return Counter(row["reason"] for row in self.rejected).most_common()

    def read(self, corpus: Corpus) -> None:
        """Check every item; keep what later steps need of a usable one, and list the others as rejected."""
        with (
            self.spool.open("wb") as file,
            ThreadPoolExecutor(self.threads) as pool,
            Bar("prepare: read and check", corpus.total) as bar,
        ):
            end, spellings = 0, dict[tuple[str, str], str]()
            for item, result in ordered(pool, self._check, corpus.items, AHEAD):
                bar.advance()
                try:
                    self._check_unique(item, spellings)
                    self.sources[item.id] = item.source
                    text, samples = result()
                except Rejected as problem:
                    self.reject(item.id, item.source, problem)
                    continue
                if samples is not None:
                    file.write(samples.tobytes())
                    self.sounds[item.id] = (end, len(samples))
                    end += len(samples)
                elif item.path is not None:
                    self.sounds[item.id] = item.path
                self.utterances.append(Utterance(item.id, item.speaker, text, item.split))

    def samples(self, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, np.ndarray]]:
        """Yield each utterance with its int16 samples ``(n,)`` at ``sample_rate``.

        Raises:
            DataError: a file is no longer what it was when it was checked.
        """
        # An empty file cannot be mapped.
        spool = np.memmap(self.spool, dtype="<i2", mode="r") if self.spool.stat().st_size else np.zeros(0, "<i2")

        def load(utterance: Utterance) -> np.ndarray:
            sound = self.sounds[utterance.id]
            if isinstance(sound, Path):
                return audio.to_int16(audio.load(sound, self.sample_rate, self.limits))
            start, n = sound
            return spool[start : start + n]

        with ThreadPoolExecutor(self.threads) as pool:
            for utterance, result in ordered(pool, load, utterances, AHEAD):
                try:
                    yield utterance, result()
                except Rejected as problem:
                    raise DataError(f"{self.sources[utterance.id]} changed while it was in use: {problem}") from problem

    def _check_unique(self, item: Item, spellings: dict[tuple[str, str], str]) -> None:
        if item.problem:
            raise item.problem
        if item.id in self.sources:
            raise Rejected("duplicate id", "an id of its own", f"{item.id!r} again, after {self.sources[item.id]}")
        # They become file names, and some disks take Ann.flac and ann.flac for one.
        for what, name in (("id", item.id), ("speaker", item.speaker)):
            if (first := spellings.setdefault((what, name.casefold()), name)) != name:
                raise Rejected(f"{what} in two spellings", f"{first!r}, as before", repr(name))

    def _check(self, item: Item) -> tuple[str, np.ndarray | None]:
        """Return normalized text, and samples for the spool where the item has no file.

        Raises:
            Rejected: its name, text or audio cannot be used.
        """
        for what, name in (("id", item.id), ("speaker", item.speaker)):
            if not _NAME.fullmatch(name):
                raise Rejected(f"unusable {what}", "ASCII letters, digits, '_', '-' and inner '.'", repr(name))
        text = normalize(item.text, self.spelling)
        if item.samples is not None:
            mono = audio.check(item.samples, item.sample_rate, self.limits)
            self._check_pace(text, len(mono) / item.sample_rate)
            return text, audio.to_int16(audio.to_rate(mono, item.sample_rate, self.sample_rate))
        if item.path is None:
            raise Rejected("missing audio", "a file", "none")
        samples, rate = audio.read(item.path, self.limits)
        self._check_pace(text, len(samples) / rate)
        return text, None

    def _check_pace(self, text: str, seconds: float) -> None:
        """Refuse a text that its audio can't be of: half of a recording is missing, or the text is another's."""
        slowest, fastest = self.pace
        found = f"{len(text)} in {seconds:.2f} s"
        if len(text) < slowest * seconds:
            raise Rejected("text too short for its audio", f"at least {slowest:g} characters per second", found)
        if len(text) > fastest * seconds:
            raise Rejected("text too long for its audio", f"at most {fastest:g} characters per second", found)
