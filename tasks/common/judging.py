"""Judging of samples of train voices: rendered, transcribed, and compared with the voice of their prompt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import nan

import numpy as np
import torch

from model.fast.parallel import parallel_map
from model.judges.panel import Judgement, Panel
from model.layouts.speech import VoicePrompt
from model.voice import Voice
from tasks.common import cuts
from tasks.common.engine import Workers, cut
from tasks.common.engine.backend import Done, Places
from tasks.common.params import Params
from tasks.common.rows import Mapped, Row, Rows
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices

PART = 128  # samples judged at a time: their audio is not kept
PROMPTS = 1024  # voice prompts embedded at a time


@dataclass(frozen=True)
class Judging:
    """What renders samples and judges them."""

    voice: Voice
    panel: Panel


@dataclass(frozen=True)
class JudgingParts:
    """The same by the names of its checkpoints."""

    policy: str
    nar: str
    codec: str
    recognizer: str
    prompt_frames: int | None

    @property
    def folders(self) -> Sequence[str]:
        return [self.policy, self.nar, self.codec, self.recognizer]

    def load(self, at: Places, device: torch.device) -> Judging:
        voice = Voice.load(at(self.policy), at(self.nar), at(self.codec), device, self.prompt_frames)
        return Judging(voice, Panel(at(self.recognizer), device))


@dataclass(frozen=True)
class ToJudge:
    """A sample with all that its judgement needs: the policy's tokens, the voice prompt, and its embedding."""

    text: str
    tokens: np.ndarray
    prompt: VoicePrompt
    voice: np.ndarray


class SampleJudge:
    """The panel, with what it needs to render samples and to know the voices of their prompts.

    Args:
        workers: that do it.
        train: utterances with all levels, the prompts among them.
        prompt_ids: of all samples that will be judged.
    """

    def __init__(self, params: Params, workers: Workers[Judging], train: Utterances, prompt_ids: Iterable[str]):
        self.params, self.workers, self.prompts = params, workers, Voices.of(train, params)
        ids = sorted(set(prompt_ids))
        self.place = {id_: i for i, id_ in enumerate(ids)}
        state, waves = workers.state, cuts.waves("train", ids)
        embedded = (state.panel.embed(islice(waves, n), state.voice.sample_rate) for n in map(len, cut(ids, PROMPTS)))
        self.voices = Rows({"voice": voice} for part in embedded for voice in part)

    def judge(self, samples: Sequence[Row], on_done: Callable[[int], None] | None = None) -> list[Judgement]:
        """Render every sample and judge it against its text and its prompt's voice, in the samples' order.

        Args:
            samples: each with ``text``, ``prompt_id`` and ``tokens``.
        """
        items = Mapped(samples, self._to_judge)
        work = partial(judge_samples, batch_size=self.params.decoding.batch_size)
        judged = self.workers.spread(work, items, key=_length, size=PART, on_done=on_done or _nothing)
        # A voice that nobody asked for is compared with none.
        return judged if self.prompts.kind != "none" else [replace(one, similarity=nan) for one in judged]

    def _to_judge(self, sample: Row) -> ToJudge:
        prompt_id = sample["prompt_id"]
        voice = self.voices[self.place[prompt_id]]["voice"]
        return ToJudge(sample["text"], np.asarray(sample["tokens"]), self.prompts.prompt_of(prompt_id), voice)


def judge_samples(state: Judging, samples: list[ToJudge], done: Done, *, batch_size: int) -> list[Judgement]:
    """Return each sample's judgement, by as many threads as PyTorch has."""
    # Samples of similar lengths share shapes, for which kernels are compiled once, and need little padding.
    order = sorted(range(len(samples)), key=lambda i: _length(samples[i]))
    parts = [[samples[i] for i in part] for part in cut(order, PART)]
    device = state.voice.device.type
    panels = _panels(state.panel, min(torch.get_num_threads(), len(parts)) if device == "cpu" else 1)

    def judge(worker: int, part: list[ToJudge]) -> list[Judgement]:
        _, rendered = state.voice.render([s.tokens for s in part], [s.prompt for s in part], batch_size)
        voices = np.stack([s.voice for s in part])
        return panels[worker].judge(rendered, state.voice.sample_rate, [s.text for s in part], voices, done)

    judged = [judgement for part in parallel_map(judge, parts, device) for judgement in part]
    place = dict(zip(order, judged, strict=True))
    return [place[i] for i in range(len(samples))]


def _length(sample: ToJudge) -> int:
    return -len(sample.tokens)


def _nothing(_n: int) -> None:
    """Tell nobody."""


def _panels(panel: Panel, n: int) -> list[Panel]:
    """Return a panel per worker: Whisper keeps its cache on the model while it decodes. Weights are shared."""
    judges = (panel.recognizer, panel.speaker)
    weights = {id(tensor): tensor for judge in judges for tensor in judge.parameters()}
    return [panel, *(copy.deepcopy(panel, dict(weights)) for _ in range(n - 1))]
