"""Synthetic speech: digit strings read by espeak-ng voices. Needs no files and no network."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from model import espeak
from tasks.common.files import DataError
from tasks.common.ordered import ordered
from tasks.common.params import Params
from tasks.common.params.corpus import Synthetic
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers.counts import digit_strings, plan

_STREAM = {"train": 0, "dev": 1, "test": 2}  # keeps the random streams of one voice apart


def read(params: Params, root: Path | None = None) -> Corpus:
    """Return train and dev speech of the seen voices, and test speech of seen and unseen ones (half each).

    No text of a split is in another one (:func:`tasks.common.digits.split_of`).

    Raises:
        DataError: fewer unseen voices are named than speakers are to be kept out.
        InputError: espeak-ng lacks a voice (when its utterances are asked for).
    """
    p = params.prepare
    voices, unseen = p.synthetic.voices, p.synthetic.unseen_voices[: p.unseen_speakers]
    if len(unseen) < p.unseen_speakers:
        raise DataError(
            f"prepare.unseen_speakers is {p.unseen_speakers}, but prepare.synthetic.unseen_voices names {len(unseen)}; "
            "name more voices or lower the number"
        )
    counts: dict[str, dict[str, int]] = {}
    for split, voice, n in plan(p, p.synthetic.utterances, voices, unseen):
        counts.setdefault(voice, {})[split] = n
    total = sum(n for of_voice in counts.values() for n in of_voice.values())
    return Corpus(total, _synthesize(counts, params), fixed_splits=True)


def _synthesize(counts: dict[str, dict[str, int]], params: Params) -> Iterator[Item]:
    # A fresh process for each voice, because espeak-ng's state makes samples depend on those before them. So the
    # result is the same for any number of workers, and for a process that has used espeak-ng before. They are forked
    # from a server that has the imports behind it, which would cost more than the synthesis.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def in_fresh_process(voice: str) -> list[Item]:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            return process.submit(read_aloud, voice, counts[voice], params.prepare.synthetic, params.seed).result()

    threads = params.compute.threads
    with ThreadPoolExecutor(threads) as pool:
        for _, items in ordered(pool, in_fresh_process, counts, ahead=threads):
            try:
                yield from items()
            except BrokenProcessPool as error:
                raise DataError("a process that synthesized speech was killed (out of memory?); run again") from error


def read_aloud(voice: str, counts: dict[str, int], settings: Synthetic, seed: int) -> list[Item]:
    """Return all utterances of one voice, ``counts[split]`` of each split. Call it in a fresh process only."""

    def say(text: str, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        rate, pitch = (int(rng.integers(*bounds, endpoint=True)) for bounds in (settings.rate, settings.pitch))
        samples = espeak.synthesize(text, voice, rate, pitch)
        # As int16 they are exactly as espeak-ng returned them, unless formants were moved.
        whole = (samples * 32768).round().clip(-32768, 32767).astype(np.int16)
        return f"espeak-ng en-us+{voice} rate={rate} pitch={pitch:+d}", whole

    items: list[Item] = []
    for split, n in counts.items():
        rng = np.random.default_rng([seed, _STREAM[split], *voice.encode()])
        items += digit_strings(split, voice, n, settings, rng, espeak.SAMPLE_RATE, say)
    return items
