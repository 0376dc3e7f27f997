"""Speech from a registered version, sentence by sentence: ``say`` and the server share it, hence the same bytes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.long_texts import SENTENCE_PAUSE, faded, sentences
from tasks.common.tracking.client import failures

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

__all__ = ["Spoken", "code_of_the_version", "joined", "load", "sentences", "synthesize"]

DEFAULT_MODEL = "models:/speechalign-policy@champion"


@dataclass(frozen=True)
class VoiceOf:
    """The voice to say a text in: the bytes of an audio file, what is said in it, and a speaker's name."""

    prompt: bytes | None
    prompt_text: str = ""
    speaker: str = ""

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns of a version's input that there are."""
        given = {"prompt_audio": self.prompt, "prompt_text": self.prompt_text, "speaker": self.speaker}
        return {name: [value] for name, value in given.items() if value}


@dataclass(frozen=True)
class Spoken:
    """One sentence: float32 samples ``(n,)``, their rate in Hz, and False if it ran into the length limit."""

    samples: np.ndarray
    sample_rate: int
    finished: bool


@contextlib.contextmanager
def code_of_the_version() -> Iterator[None]:
    """Let ``import model`` find the copy of ``model/`` that was registered with the version, not this checkout's.

    PyTorch has one thread meanwhile: the sums inside an operator depend on how many share it, and bytes should not.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "model"}
    for name in ours:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "model"]:
            del sys.modules[name]
        sys.modules.update(ours)
        torch.set_num_threads(threads)


def load(model: str) -> PyFuncModel:
    """Load a version by its ``models:/`` address, within :func:`code_of_the_version`.

    Raises:
        TrackingError: it is not registered, or its files are gone.
    """
    import mlflow

    with failures():
        return mlflow.pyfunc.load_model(model)


def synthesize(
    policy: PyFuncModel, text: str, voice: VoiceOf, seed: int = 0, temperature: float | None = None
) -> Spoken:
    """Synthesize one sentence by itself: in a batch, its last digits would depend on its neighbors.

    Raises:
        ValueError: the version refuses the text or the prompt. Its error classes are its own.
    """
    chosen: dict[str, Any] = {"seed": seed} | ({} if temperature is None else {"temperature": temperature})
    with failures():
        table: Any = policy.predict({"text": [text], **voice.columns()}, params=chosen)
        row = table.iloc[0]
    return Spoken(row["samples"], int(row["sample_rate"]), bool(row["finished"]))


def joined(spoken: Spoken, number: int, count: int) -> np.ndarray:
    """Return the samples of sentence ``number`` of ``count``, faded at its seams and with the pause after it."""
    return faded(spoken.samples, number, count, SENTENCE_PAUSE, spoken.sample_rate)
