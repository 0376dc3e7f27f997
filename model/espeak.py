"""espeak-ng through ctypes: samples from text and a voice, and phonemes from text.

The library and its data come in the wheel ``espeakng-loader``, so nothing is installed on the system.
One process holds one espeak instance (the library is a set of C globals), hence the module-level state. Its filters
and its random generator keep their state from one utterance to the next, even across a new initialization. Equal
calls therefore give equal samples only in a fresh process.
"""

from __future__ import annotations

import ctypes
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.audio import resample
from model.errors import InputError

SAMPLE_RATE = 22050

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PHONEMES_IPA = 2
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")  # espeak-ng marks words that it reads by another language's rules
_PARAM_RATE, _PARAM_PITCH, _PARAM_RANGE = 1, 3, 4
_NAME = re.compile(r"(?P<variant>.+?)(?:-(?P<formants>\d+)-(?P<pitch>\d+))?")
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
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # the library itself seeds from the clock
    return library


@functools.cache
def variants() -> frozenset[str]:
    """Return names of the voice variants that the library's data holds."""
    import espeakng_loader

    return frozenset(path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir())


@functools.cache
def languages() -> dict[str, str]:
    """Return the voice of each language that the library's data holds, by codes such as ``en-us`` and ``fr-fr``."""
    import espeakng_loader

    files = sorted(path for path in Path(espeakng_loader.get_data_path(), "lang").rglob("*") if path.is_file())
    found = {path.name.lower(): path.name for path in files}
    for path in files:
        for code in re.findall(r"^language\s+(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(code.lower(), path.name)
    return found


def phonemes(text: str, language: str) -> str:
    """Return the text in the International Phonetic Alphabet, with stress marks, its clauses joined by spaces.

    Raises:
        InputError: espeak-ng does not know the language, or the text holds a NUL.
    """
    if language not in languages():  # the library itself would go on in the language it had
        raise InputError(f"espeak-ng has no language {language!r}; it has {', '.join(sorted(languages()))}")
    if "\0" in text:
        raise InputError(f"the text {text!r} holds a NUL character")
    library = _library()
    if library.espeak_SetVoiceByName(languages()[language].encode()) != 0:
        raise InputError(f"espeak-ng could not load the language {language!r}")
    rest, clauses = ctypes.c_char_p(text.encode("utf-8")), []
    while rest.value:
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA).decode("utf-8"))
    return _LANGUAGE_SWITCH.sub("", " ".join(clauses)).strip()


@dataclass(frozen=True)
class SpeakerVoice:
    """A voice: a variant of espeak-ng, the size of the vocal tract, and the pitch.

    ``f5-90-58`` is the variant f5 with formants at 90 % of its own (a longer vocal tract) and base pitch 58. ``f5``
    alone has its own formants and pitch 50. Formants are moved by reading the samples at another rate. Speed and pitch
    would move with them, so the first is compensated; the second is part of the voice.
    """

    variant: str
    formants: float = 1.0  # times the variant's own
    pitch: int = 50  # 0-100

    @classmethod
    def parse(cls, name: str) -> SpeakerVoice:
        """Read a voice's name.

        Raises:
            InputError: formants outside 50 to 200 %, or a pitch outside 0 to 100.
        """
        match = _NAME.fullmatch(name)
        if match is None or match["formants"] is None:
            return cls(name)
        voice = cls(match["variant"], int(match["formants"]) / 100, int(match["pitch"]))
        if not (0.5 <= voice.formants <= 2 and 0 <= voice.pitch <= 100):
            raise InputError(
                f"voice {name!r} should be VARIANT, or VARIANT-FORMANTS-PITCH with formants of 50 to 200 (%) and a "
                "pitch of 0 to 100, e.g. f5-90-58"
            )
        return voice


def synthesize(text: str, voice: str, rate: int = 175, pitch: int = 0, pitch_range: int = 50) -> np.ndarray:
    """Synthesize ``text`` as mono float32 samples in [-1, 1] at 22,050 Hz.

    Args:
        text: read as US English.
        voice: as :class:`SpeakerVoice` names it, e.g. ``"f2"`` (used as ``en-us+f2``) or ``"f2-110-42"``.
        rate: words per minute, 80-450.
        pitch: above the voice's own, on espeak-ng's scale of 0-100. pitch_range: how far intonation moves it, 0-100.

    Raises:
        InputError: the voice does not exist, or the text gave no sound.
    """
    library, wanted = _library(), SpeakerVoice.parse(voice)
    if wanted.variant not in variants():  # the library itself would use its default voice
        raise InputError(f"espeak-ng has no voice variant {wanted.variant!r}; it has {', '.join(sorted(variants()))}")
    if library.espeak_SetVoiceByName(f"en-us+{wanted.variant}".encode()) != 0:
        raise InputError(f"espeak-ng could not load the voice en-us+{wanted.variant}")
    settings = (
        (_PARAM_RATE, rate / wanted.formants),
        (_PARAM_PITCH, min(max(wanted.pitch + pitch, 0), 100)),
        (_PARAM_RANGE, pitch_range),
    )
    for parameter, value in settings:
        library.espeak_SetParameter(parameter, int(value), 0)
    _chunks.clear()
    data = text.encode("utf-8")
    library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    if not _chunks:
        raise InputError(f"espeak-ng made no sound for {text!r}")
    samples = np.concatenate(_chunks).astype(np.float32) / 32768.0
    return resample(samples, from_rate=round(SAMPLE_RATE * wanted.formants), to_rate=SAMPLE_RATE)
