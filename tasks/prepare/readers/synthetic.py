"""Synthetic speech: digit strings spoken by espeak-ng voices. Needs no files and no network."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.params.corpus import Synthetic
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers import digits, espeak

_DRAW = {"train": 0, "dev": 1, "test": 2}  # keeps the random streams of one voice apart


def read(params: Params, root: Path | None = None) -> Corpus:
    """Train and dev speech of the seen voices, test speech of seen and unseen ones (half each).

    The texts of a split are that split's alone (:func:`digits.split_of`).

    Raises:
        ValueError: espeak-ng lacks a voice, or fewer unseen voices are named than speakers are to be kept out.
    """
    p = params.prepare
    voices, unseen = p.synthetic.voices, p.synthetic.unseen_voices[: p.unseen_speakers]
    if len(unseen) < p.unseen_speakers:
        raise ValueError(
            f"prepare.unseen_speakers is {p.unseen_speakers}, but prepare.synthetic.unseen_voices names {len(unseen)}; "
            "name more voices or lower the number"
        )
    n_unseen = p.test_utterances // 2 if unseen else 0
    jobs: dict[str, dict[str, int]] = {voice: {} for voice in [*voices, *unseen]}
    for split, total, speakers in (
        ("train", p.synthetic.utterances, voices),
        ("dev", p.dev_utterances, voices),
        ("test", p.test_utterances - n_unseen, voices),
        ("test", n_unseen, unseen),
    ):
        for voice, n in zip(speakers, shares(total, len(speakers)), strict=True):
            jobs[voice][split] = n
    total = sum(n for counts in jobs.values() for n in counts.values())
    return Corpus(total, _speak(jobs, params), fixed_splits=True)


def shares(total: int, parts: int) -> list[int]:
    """``total`` in ``parts`` whole numbers that differ by at most one."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def _speak(jobs: dict[str, dict[str, int]], params: Params) -> Iterator[Item]:
    # A fresh process for each voice, because espeak-ng's state makes a sound depend on those before it: so the
    # result is the same for any number of workers, and for a process that has spoken before. They are forked from a
    # server that has the imports behind it, which would cost more than the speech.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(params.compute.threads, mp_context=context, max_tasks_per_child=1) as pool:
        pending = [
            pool.submit(speak_voice, voice, counts, params.prepare.synthetic, params.seed)
            for voice, counts in jobs.items()
        ]
        try:
            while pending:
                yield from pending.pop(0).result()
        except BrokenProcessPool as error:
            raise DataError("a process that synthesised speech was killed (out of memory?); run again") from error
        finally:
            for job in pending:
                job.cancel()


def speak_voice(voice: str, counts: dict[str, int], settings: Synthetic, seed: int) -> list[Item]:
    """All utterances of one voice, ``counts[split]`` of each split. Only for a fresh process."""
    items = []
    for split, n in counts.items():
        rng = np.random.default_rng([seed, _DRAW[split], *voice.encode()])
        texts = digits.draw_texts(n, split, settings.min_words, settings.max_words, rng)
        for index, text in enumerate(texts):
            rate = int(rng.integers(settings.rate[0], settings.rate[1], endpoint=True))
            pitch = int(rng.integers(settings.pitch[0], settings.pitch[1], endpoint=True))
            samples = espeak.synthesize(text, voice, rate, pitch)
            items.append(
                Item(
                    id=f"{split}-{voice}-{index:05d}",
                    speaker=voice,
                    text=text,
                    source=f"espeak-ng en-us+{voice} rate={rate} pitch={pitch}",
                    samples=(samples * 32768).astype(np.int16),  # exactly what espeak-ng gave
                    sample_rate=espeak.SAMPLE_RATE,
                    split=split,
                )
            )
    return items
