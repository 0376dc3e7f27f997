"""Long texts in parts that a policy has room for, and one waveform of their parts. No torch.

A text is split at the ends of sentences, a sentence that is too long after clauses, a clause between words. Parts meet
at silence, so that no seam is a click.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model.errors import InputError

SENTENCE_END = re.compile(r"(?<=[.!?;:\u2026])\s+|\n+|(?<=[\u3002\uff01\uff1f\uff1b])")
CLAUSE_END = re.compile(r"(?<=[,)\]\u2013\u2014])\s+|\s+(?=[(\[\u2013\u2014])|(?<=[\uff0c\u3001\uff1a])")
# Seconds of silence after a sentence, a clause, and words that a long clause had to be cut at; and of the fades.
SENTENCE_PAUSE, CLAUSE_PAUSE, WORD_PAUSE, FADE = 0.2, 0.1, 0.03, 0.005


@dataclass(frozen=True)
class Part:
    """A stretch of a text, and the seconds of silence between it and the next."""

    text: str
    pause: float


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a text without any is its own only one, for the policy to refuse."""
    return _said(SENTENCE_END.split(text)) or [text]


def parts_of(text: str, fits: Callable[[str], bool]) -> list[Part]:
    """Return a text in parts that fit; one that fits as a whole is a single part, unchanged.

    Args:
        fits: whether the policy has room for a text. It must have room for any part of what it has room for.

    Raises:
        InputError: a single word does not fit.
    """
    if fits(text):
        return [Part(text, SENTENCE_PAUSE)]
    found: list[Part] = []
    for sentence in sentences(text):
        clauses = [sentence] if fits(sentence) else _grouped(_said(CLAUSE_END.split(sentence)), fits)
        for clause in clauses:
            words = [clause] if fits(clause) else _grouped(clause.split(), fits)
            if bad := next((word for word in words if not fits(word)), None):
                raise InputError(
                    f"the policy has no room for {_short(bad)}, which cannot be split; shorten it or the voice prompt, "
                    "or allow fewer frames per character (decoding.max_frames_per_character)"
                )
            found += [Part(part, WORD_PAUSE) for part in words]
            found[-1] = replace(found[-1], pause=CLAUSE_PAUSE)
        found[-1] = replace(found[-1], pause=SENTENCE_PAUSE)
    return found


def joined(
    waves: Sequence[npt.NDArray[np.float32]], parts: Sequence[Part], sample_rate: int
) -> npt.NDArray[np.float32]:
    """Return the samples of all parts, one after another; a single part stays as it is."""
    seams = [faded(w, i, len(waves), p.pause, sample_rate) for i, (w, p) in enumerate(zip(waves, parts, strict=True))]
    return np.concatenate(seams)


def faded(
    samples: npt.NDArray[np.float32], number: int, count: int, pause: float, sample_rate: int
) -> npt.NDArray[np.float32]:
    """Return the samples ``(n,)`` of part ``number`` of ``count``, faded at its seams and with the pause after it."""
    samples = np.array(samples, dtype=np.float32)
    ramp = np.linspace(0, 1, min(int(FADE * sample_rate), len(samples)), dtype=np.float32)
    if number > 0:
        samples[: len(ramp)] *= ramp
    if number == count - 1:
        return samples
    samples[len(samples) - len(ramp) :] *= ramp[::-1]
    return np.concatenate([samples, np.zeros(int(pause * sample_rate), np.float32)])


def _said(stretches: Sequence[str | None]) -> list[str]:
    """Return the stretches that hold a letter or digit."""
    stripped = [stretch.strip() for stretch in stretches if stretch]
    return [stretch for stretch in stripped if any(c.isalnum() for c in stretch)]


def _grouped(units: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """Return consecutive units together: as few groups as fit, of about equal length. A unit may not fit alone."""
    fewest = _filled(units, fits)
    most = max(map(len, fewest), default=0)
    # With a lower limit of length the last group gets words of the ones before it.
    for length in (int(most * share) for share in (0.6, 0.7, 0.8, 0.9)):
        even = _filled(units, _shorter(length, fits))
        if len(even) == len(fewest):
            return even
    return fewest


def _shorter(length: int, fits: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: len(text) <= length and fits(text)


def _filled(units: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    groups: list[str] = []
    for unit in units:
        longer = f"{groups[-1]} {unit}" if groups else unit
        if groups and fits(longer):
            groups[-1] = longer
        else:
            groups.append(unit)
    return groups


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
