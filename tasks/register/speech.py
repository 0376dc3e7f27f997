"""Speech from a registered version, sentence by sentence: ``say`` and the server share it, hence the same bytes."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.common.tracking.client import failures

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

DEFAULT_MODEL = "models:/speechalign-policy@champion"
SENTENCE_END = re.compile(r"(?<=[.!?;:\u2026])\s+|\n+")
PAUSE, FADE = 0.2, 0.005  # seconds of silence between two sentences, and of the fades that keep it free of clicks


@dataclass(frozen=True)
class Spoken:
    """One sentence: float32 samples ``(n,)``, their rate in Hz, and False if it ran into the length limit."""

    samples: np.ndarray
    sample_rate: int
    finished: bool


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a text without any is its own only one, for the policy to refuse."""
    parts = [part.strip() for part in SENTENCE_END.split(text)]
    return [part for part in parts if any(c.isalnum() for c in part)] or [text]


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
    policy: PyFuncModel, text: str, prompt: bytes, seed: int = 0, temperature: float | None = None
) -> Spoken:
    """Synthesize one sentence by itself: in a batch, its last digits would depend on its neighbors.

    Args:
        prompt: the bytes of an audio file with the voice.

    Raises:
        ValueError: the version refuses the text or the prompt. Its error classes are its own.
    """
    chosen: dict[str, Any] = {"seed": seed} | ({} if temperature is None else {"temperature": temperature})
    with failures():
        table: Any = policy.predict({"text": [text], "prompt_audio": [prompt]}, params=chosen)
        row = table.iloc[0]
    return Spoken(row["samples"], int(row["sample_rate"]), bool(row["finished"]))


def joined(spoken: Spoken, number: int, count: int) -> np.ndarray:
    """Return the samples of sentence ``number`` of ``count``, faded at its seams and with the pause after it."""
    samples = np.array(spoken.samples, dtype=np.float32)
    ramp = np.linspace(0, 1, min(int(FADE * spoken.sample_rate), len(samples)), dtype=np.float32)
    if number > 0:
        samples[: len(ramp)] *= ramp
    if number == count - 1:
        return samples
    samples[len(samples) - len(ramp) :] *= ramp[::-1]
    return np.concatenate([samples, np.zeros(int(PAUSE * spoken.sample_rate), np.float32)])
