"""Golden utterances as layouts take them: as speech to write, and as voice prompts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.layouts.speech import Speech, VoicePrompt
from tasks.common.params import Params
from tasks.common.utterances import Utterances


class Voices:
    """Speech and voice prompts of golden utterances.

    Args:
        frames: of a prompt; None: the whole utterance.
        kind: what a prompt holds (``policy.voice``): ``audio`` with its text and speaker, the ``speaker``, ``none``.
    """

    def __init__(self, golden: Utterances, frames: int | None, kind: str = "audio"):
        self.golden, self.frames, self.kind = golden, frames, kind

    @classmethod
    def of(cls, golden: Utterances, params: Params) -> Voices:
        """Return the voices of a run's utterances."""
        return cls(golden, params.prompt_frames, params.policy.voice)

    def speech(self, index: int) -> Speech:
        """Return an utterance's codes, row by row as the codec gives them."""
        return Speech.of(*self.golden.rows(index), globals=self.golden.voice(index))

    def prompt(self, index: int) -> VoicePrompt:
        """Return the first frames of an utterance as a voice prompt."""
        return self._prompt(index, self.golden.rows(index)[:, : self.frames])

    def prompt_of(self, utterance: str) -> VoicePrompt:
        """Return the voice prompt of an id.

        Raises:
            KeyError: there is no such utterance.
        """
        return self.prompt(self.golden.find(utterance))

    def random_prompt(self, index: int, rng: np.random.Generator) -> VoicePrompt:
        """Return a random crop of another utterance by the speaker of utterance ``index``."""
        other, codes = self.golden.random_prompt(index, self.frames, rng)
        return self._prompt(other, codes)

    def longest_prompt(self, index: int) -> VoicePrompt:
        """Return a prompt with the text of an utterance and as many frames as any prompt may have."""
        frames = self.frames or int(self.golden.frames.max())
        return self._prompt(index, np.zeros((self.golden.n_rows(index), frames), np.uint16))

    def _prompt(self, index: int, codes: npt.NDArray[np.integer]) -> VoicePrompt:
        golden = self.golden
        if self.kind != "audio":
            return VoicePrompt(golden.speakers[index] if self.kind == "speaker" else "")
        return VoicePrompt(golden.speakers[index], golden.texts[index], Speech.of(*codes, globals=golden.voice(index)))
