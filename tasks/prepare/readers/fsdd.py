"""Free Spoken Digit Dataset: ``{digit}_{speaker}_{index}.wav``, one spoken digit per recording, 8 kHz.

https://github.com/Jakobovski/free-spoken-digit-dataset

An utterance here is a string of one speaker's recordings with short silences between them. No two splits share a
recording: index 0-4 is the corpus's official test, 5-9 is dev, the rest train. All recordings of an unseen speaker
serve test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from tasks.common import audio, digits
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rejected import Rejected
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import tree
from tasks.prepare.readers.counts import digit_strings, plan

SAMPLE_RATE = 8000
TEST_INDICES, DEV_INDICES = range(0, 5), range(5, 10)
_NAME = re.compile(r"([0-9])_([A-Za-z][\w-]*)_([0-9]+)", re.ASCII)
_GAP = (0.04, 0.12)  # seconds of silence between recordings, which are trimmed
_EDGE = 0.05  # seconds of silence before the first and after the last
# The recordings differ in level by 36 dB, even those of one speaker, and a codec trained on the strings as they are
# learns the loud ones only.
_LEVEL = 0.08  # root mean square of every recording, if its peak allows
_PEAK = 0.9

Bank = dict[int, list[tuple[str, np.ndarray]]]  # digit -> recordings: file name, samples at 8 kHz


def read(params: Params, root: Path) -> Corpus:
    """Load and check the recordings, and return strings of them.

    Raises:
        DataError: no recording there, too few speakers, or a speaker without some digit in some split.
    """
    p = params.prepare
    root = tree.corpus_root(root, "recordings")
    files = tree.audio_files(root, ".wav")
    speakers = sorted({m[2] for m in (_NAME.fullmatch(f.stem) for f in files) if m})
    if p.unseen_speakers >= len(speakers):
        raise DataError(
            f"prepare.unseen_speakers is {p.unseen_speakers}, but {root} has {len(speakers)} speakers "
            f"({', '.join(speakers)}) and at least one must stay for train; lower it"
        )
    order = np.random.default_rng(params.seed).permutation(len(speakers))
    unseen = sorted(speakers[i] for i in order[: p.unseen_speakers])
    seen = [s for s in speakers if s not in unseen]
    limits = audio.Limits(max_seconds=p.max_seconds, max_clipped=p.max_clipped)
    bad: list[Item] = []
    banks: dict[tuple[str, str], Bank] = defaultdict(lambda: defaultdict(list))
    for file in files:
        match = _NAME.fullmatch(file.stem)
        try:
            if not match:
                raise Rejected("unexpected file name", "{digit}_{speaker}_{index}.wav", file.name)
            samples = audio.load(file, SAMPLE_RATE, limits)
        except Rejected as problem:
            source = file.relative_to(root).as_posix()
            bad.append(Item(file.stem, match[2] if match else "", None, source, problem=problem))
            continue
        split = "test" if match[2] in unseen else _split(int(match[3]))
        banks[split, match[2]][int(match[1])].append((file.name, leveled(samples)))
    wanted = list(plan(p, p.fsdd.utterances, seen, unseen))
    for split, speaker, _ in wanted:
        if lacking := [d for d in range(10) if not banks[split, speaker][d]]:
            raise DataError(
                f"{root} has no usable {split} recording of {speaker} saying {', '.join(map(str, lacking))}"
            )
    total = len(bad) + sum(n for _, _, n in wanted)
    return Corpus(total, _items(bad, wanted, banks, params), fixed_splits=True)


def leveled(samples: np.ndarray) -> np.ndarray:
    """Return the recording ``(n,)`` without its offset, at the common level."""
    centered = samples - samples.mean()
    gain = min(_LEVEL / float(np.sqrt((centered**2).mean())), _PEAK / float(np.abs(centered).max()))
    return (centered * gain).astype(np.float32)


def _split(index: int) -> str:
    return "test" if index in TEST_INDICES else "dev" if index in DEV_INDICES else "train"


def _items(
    bad: list[Item], wanted: list[tuple[str, str, int]], banks: dict[tuple[str, str], Bank], params: Params
) -> Iterator[Item]:
    yield from bad
    for split, speaker, n in wanted:
        rng = np.random.default_rng([params.seed, *split.encode(), *speaker.encode()])
        say = partial(_string, banks[split, speaker])
        yield from digit_strings(split, speaker, n, params.prepare.fsdd, rng, SAMPLE_RATE, say)


def _string(bank: Bank, text: str, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Return the recordings' file names and the samples ``(n,)`` of one utterance."""
    edge = np.zeros(int(_EDGE * SAMPLE_RATE), np.float32)
    names, parts = [], [edge]
    for word in text.split():
        recordings = bank[digits.WORDS.index(word)]
        name, samples = recordings[int(rng.integers(len(recordings)))]
        gap = np.zeros(int(rng.uniform(*_GAP) * SAMPLE_RATE), np.float32)
        names.append(name)
        parts += [samples, gap] if len(names) < len(text.split()) else [samples, edge]
    return " ".join(names), np.concatenate(parts)
