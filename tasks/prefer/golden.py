"""The recordings of train as the tokens that the policy would have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model.layouts.layout import Layout
from tasks.common.voices import Voices


class Golden(Mapping[str, list[int]]):
    """Token ids of each recording by its id, without the stop. A text without a recording has none.

    Where words stand between the codes, no recording has any.
    """

    def __init__(self, voices: Voices, layout: Layout):
        self.voices, self.layout = voices, layout

    def __getitem__(self, utterance: str) -> list[int]:
        if self.layout.spec.word is not None:
            raise KeyError(utterance)  # its words are not aligned
        return self.layout.target(self.voices.speech(self.voices.golden.find(utterance)), finished=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.voices.golden.ids)

    def __len__(self) -> int:
        return len(self.voices.golden)
