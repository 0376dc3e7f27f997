"""The first half of ``prepare``: check every utterance of a corpus and bring the usable ones to one format.

The splits depend on what is usable, so the samples wait in one raw file until all of the corpus is read.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from tasks.common.params import Params
from tasks.common.params.corpus import Prepare
from tasks.common.progress import Bar
from tasks.prepare import audio
from tasks.prepare.items import Corpus, Item, Rejected
from tasks.prepare.split import Utterance
from tasks.prepare.text import normalize

T = TypeVar("T")
AHEAD = 32  # items whose sound is read ahead of the one in turn
_NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)  # ids and speakers become file names


@dataclass
class Spool:
    """Usable utterances: int16 samples end to end in the file ``path``, the rest in memory.

    Attributes:
        sources: id -> where the utterance came from. places: id -> its first sample and number of samples.
        rejected: rows of ``data/rejected.jsonl``.
    """

    path: Path
    utterances: list[Utterance] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def reject(self, id_: str, source: str, problem: Rejected) -> None:
        row = {"id": id_, "path": source, "reason": problem.reason}
        self.rejected.append(row | {"expected": problem.expected, "found": problem.found})

    def reasons(self) -> list[tuple[str, int]]:
        """How often each reason for rejection occurred, most frequent first."""
        return Counter(row["reason"] for row in self.rejected).most_common()


def fill(spool: Spool, corpus: Corpus, sample_rate: int, p: Params) -> None:
    """Check every item of the corpus and append its samples to the spool, or list it as rejected."""
    with (
        spool.path.open("wb") as file,
        ThreadPoolExecutor(p.compute.threads) as pool,
        Bar("prepare: read and check", corpus.total) as bar,
    ):
        end, spelled = 0, dict[tuple[str, str], str]()
        for item, result in ordered(pool, lambda item: inspect(item, sample_rate, p.prepare), corpus.items):
            bar.advance()
            try:
                if item.problem:
                    raise item.problem
                if item.id in spool.sources:
                    raise Rejected(
                        "duplicate id", "an id of its own", f"{item.id!r} again, after {spool.sources[item.id]}"
                    )
                # They become file names, and some disks take Ann.flac and ann.flac for one.
                for what, name in (("id", item.id), ("speaker", item.speaker)):
                    if (first := spelled.setdefault((what, name.casefold()), name)) != name:
                        raise Rejected(f"{what} in two spellings", f"{first!r}, as before", repr(name))
                spool.sources[item.id] = item.source
                text, samples = result()
            except Rejected as problem:
                spool.reject(item.id, item.source, problem)
                continue
            file.write(samples.tobytes())
            spool.places[item.id] = (end, len(samples))
            end += len(samples)
            spool.utterances.append(Utterance(item.id, item.speaker, text, item.split))


def ordered(
    pool: ThreadPoolExecutor, work: Callable[[Item], T], items: Iterable[Item]
) -> Iterator[tuple[Item, Callable[[], T]]]:
    """Each item with its result to come, in order. A few are worked on ahead, never the whole corpus."""
    ahead: deque[tuple[Item, Future[T]]] = deque()
    for item in items:
        ahead.append((item, pool.submit(work, item)))
        if len(ahead) > AHEAD:
            first, future = ahead.popleft()
            yield first, future.result
    for first, future in ahead:
        yield first, future.result


def inspect(item: Item, sample_rate: int, p: Prepare) -> tuple[str, np.ndarray]:
    """Normalised text and int16 samples ``(n,)`` at ``sample_rate`` of one utterance.

    Raises:
        Rejected: its name, text or sound cannot be used.
    """
    if item.problem:
        raise item.problem
    for what, name in (("id", item.id), ("speaker", item.speaker)):
        if not _NAME.fullmatch(name):
            raise Rejected(f"unusable {what}", "ASCII letters, digits, '_', '-' and inner '.'", repr(name))
    text = normalize(item.text)
    limits = (p.min_seconds, p.max_seconds, p.max_clipped)
    if item.samples is not None:
        samples = audio.check(item.samples, item.sample_rate, sample_rate, *limits)
    elif item.path is not None:
        samples = audio.load(item.path, sample_rate, *limits)
    else:
        raise Rejected("missing audio", "a file", "none")
    return text, np.clip((samples * 32768).round(), -32768, 32767).astype("<i2")
