"""espeak-ng through ctypes: samples from text and a voice.

The library and its data come in the wheel ``espeakng-loader``, so nothing is installed on the system.
One process holds one espeak instance (the library is a set of C globals), hence the module-level state. Its filters
and its random generator keep their state from one utterance to the next, even across a new initialization. Equal
calls therefore give equal samples only in a fresh process.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import InputError

SAMPLE_RATE = 22050

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PARAM_RATE, _PARAM_PITCH, _PARAM_RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_chunks: list[np.ndarray] = []


@_CALLBACK
def _collect(samples: Any, n_samples: int, _events: int) -> int:
    if samples and n_samples > 0:
        _chunks.append(np.ctypeslib.as_array(samples, shape=(n_samples,)).copy())
    return 0


@functools.cache
def _library() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate != SAMPLE_RATE:
        raise InputError(f"espeak-ng should start at {SAMPLE_RATE} Hz, but answered {rate}")
    library.espeak_SetSynthCallback(_collect)
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # the library itself seeds from the clock
    return library


@functools.cache
def variants() -> frozenset[str]:
    """Return names of the voice variants that the library's data holds."""
    import espeakng_loader

    return frozenset(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir())


def synthesize(text: str, voice: str, rate: int = 175, pitch: int = 50, pitch_range: int = 50) -> np.ndarray:
    """Synthesize ``text`` as mono float32 samples in [-1, 1] at 22,050 Hz.

    Args:
        text: read as US English.
        voice: an espeak-ng voice variant, e.g. ``"f2"`` (used as ``en-us+f2``).
        rate: words per minute, 80-450.
        pitch: base pitch, 0-100. pitch_range: how far intonation moves it, 0-100.

    Raises:
        InputError: the voice does not exist, or the text gave no sound.
    """
    library = _library()
    if voice not in variants():  # the library itself would use its default voice
        raise InputError(f"espeak-ng has no voice variant {voice!r}; it has {', '.join(sorted(variants()))}")
    if library.espeak_SetVoiceByName(f"en-us+{voice}".encode()) != 0:
        raise InputError(f"espeak-ng could not load the voice en-us+{voice}")
    for parameter, value in ((_PARAM_RATE, rate), (_PARAM_PITCH, pitch), (_PARAM_RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, int(value), 0)
    _chunks.clear()
    data = text.encode("utf-8")
    library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    if not _chunks:
        raise InputError(f"espeak-ng made no sound for {text!r}")
    return np.concatenate(_chunks).astype(np.float32) / 32768.0
