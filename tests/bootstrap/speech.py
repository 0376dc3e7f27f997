"""Speech of the trainers' format, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TEXTS = ("one two", "three four five", "six", "nine zero")


def write_split(path: Path, seed: int = 0, seconds: float = 0.4) -> None:
    """A file as :mod:`bootstrap.data` writes it: a tone and some noise for each of ``TEXTS``, two voices."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * 16000)
    tones = [np.sin(np.arange(samples) * pitch / 16000 * 2 * np.pi) for pitch in rng.uniform(100, 300, len(TEXTS))]
    audio = [(8000 * tone + rng.normal(0, 200, samples)).astype(np.int16) for tone in tones]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        audio=np.concatenate(audio),
        lengths=np.array([len(a) for a in audio]),
        texts=np.array(TEXTS),
        voices=np.array(["ann", "bob"] * (len(TEXTS) // 2)),
    )
