"""Judging of samples of train voices: rendered, transcribed, and compared with the voice of their prompt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch

from model.fast.parallel import parallel_map
from model.judges.panel import Judgement, Panel
from model.voice import Voice
from tasks.common.params import Params
from tasks.common.utterances import Row, Utterances, load_waves
from tasks.common.voices import Voices

PART = 128  # samples judged at a time: their audio is not kept


class SampleJudge:
    """The panel, with what it needs to render samples and to know the voices of their prompts.

    Args:
        voice: renders the samples, which are in its policy's tokens.
        train: utterances with all levels, the prompts among them.
        prompt_ids: of all samples that will be judged.
    """

    def __init__(self, params: Params, voice: Voice, train: Utterances, panel: Panel, prompt_ids: Iterable[str]):
        self.params, self.voice, self.prompts, self.panel = params, voice, Voices.of(train, params), panel
        ids = sorted(set(prompt_ids))
        waves = load_waves("train", ids)
        self.place = {id_: i for i, id_ in enumerate(ids)}
        self.voices = panel.embed([waves[i] for i in ids], voice.sample_rate)

    def judge(self, samples: list[Row], on_done: Callable[[int], None] | None = None) -> list[Judgement]:
        """Render every sample and judge it against its text and its prompt's voice, in the samples' order.

        Args:
            samples: each with ``text``, ``prompt_id`` and ``tokens``.
        """
        batch_size, device = self.params.decoding.batch_size, self.voice.device.type
        # Samples of similar lengths share shapes, for which kernels are compiled once, and need little padding.
        order = sorted(range(len(samples)), key=lambda i: -len(samples[i]["tokens"]))
        parts = [[samples[i] for i in order[first : first + PART]] for first in range(0, len(order), PART)]
        panels = self._panels(min(torch.get_num_threads(), len(parts)) if device == "cpu" else 1)

        def judge(worker: int, part: list[Row]) -> list[Judgement]:
            prompts = [self.prompts.prompt_of(s["prompt_id"]) for s in part]
            _, rendered = self.voice.render([s["tokens"] for s in part], prompts, batch_size)
            voices = self.voices[[self.place[s["prompt_id"]] for s in part]]
            texts = [s["text"] for s in part]
            return panels[worker].judge(rendered, self.voice.sample_rate, texts, voices, on_done)

        judged = [judgement for part in parallel_map(judge, parts, device) for judgement in part]
        place = dict(zip(order, judged, strict=True))
        return [place[i] for i in range(len(samples))]

    def _panels(self, n: int) -> list[Panel]:
        """Return a panel per worker: Whisper keeps its cache on the model while it decodes. Weights are shared."""
        judges = (self.panel.recognizer, self.panel.speaker)
        weights = {id(tensor): tensor for judge in judges for tensor in judge.parameters()}
        return [self.panel, *(copy.deepcopy(self.panel, dict(weights)) for _ in range(n - 1))]
