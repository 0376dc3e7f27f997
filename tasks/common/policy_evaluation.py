"""Sample a policy on a set of texts, and judge what it says: for ``evaluate@k`` and the gate.

A sample that ran into the length limit is cut off there and judged as it is. One that came out empty is all deletions
and similarity 0. Both stay in every average.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from model.fast.parallel import parallel_map
from model.judges.held_out import HeldOut
from model.judges.panel import Panel
from model.judges.timbre import Timbre
from model.layouts.speech import VoicePrompt
from model.metrics import EditCounts
from model.sampling import Decoding, Request, Sampled, by_context
from model.voice import Voice
from tasks.common.engine import Workers, cut
from tasks.common.engine.backend import Done, Places
from tasks.common.evaluation import EvaluationSet, Judges, Row, decoding_columns, judge
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.runtime import dtype_of

PART = 64  # samples rendered and judged at a time: their audio is not kept
CHOICE = -1  # a draw of its own, so that no decoding is chosen by the samples that it is then judged by


@dataclass(frozen=True)
class Evaluated:
    """A policy's samples of a set of texts, draw by draw, each draw in the set's order."""

    rows: list[Row]  # of schemas.UTTERANCES
    sampled: list[Sampled]
    waves: dict[int, np.ndarray] = field(default_factory=dict)  # those that were to be kept, by position


def per_thread(judges: Judges) -> list[Judges]:
    """Return judges for each of PyTorch's threads, the first being ``judges``; one alone where a GPU computes."""
    threads = torch.get_num_threads() if judges.panel.recognizer.device.type == "cpu" else 1
    return [judges, *(judges.for_thread() for _ in range(threads - 1))]


@dataclass(frozen=True)
class Studio:
    """What samples, renders and judges; ``judges`` of :func:`per_thread`."""

    voice: Voice
    judges: Sequence[Judges]


@dataclass(frozen=True)
class StudioParts:
    """The same by the names of its checkpoints; None for a held-out judge that isn't there."""

    policy: str
    nar: str
    codec: str
    recognizer: str
    prompt_frames: int | None
    held_out_recognizer: str | None
    held_out_speaker: Timbre | None

    @property
    def folders(self) -> Sequence[str]:
        return [self.policy, self.nar, self.codec, self.recognizer, self.held_out_recognizer or ""]

    def load(self, at: Places, device: torch.device) -> Studio:
        voice = Voice.load(at(self.policy), at(self.nar), at(self.codec), device, self.prompt_frames)
        second = at(self.held_out_recognizer) if self.held_out_recognizer else None
        judges = Judges(Panel(at(self.recognizer), device), HeldOut(second, self.held_out_speaker, device))
        return Studio(voice, per_thread(judges))


@dataclass(frozen=True)
class ToDraw:
    """An utterance to sample; ``request`` says where it belongs among others."""

    text: str
    prompt: VoicePrompt
    seed: int
    request: Request


@dataclass(frozen=True)
class ToHear:
    """A sample to render and judge, with the voices of its prompt and whether its waveform is kept."""

    row: Row
    tokens: np.ndarray
    prompt: VoicePrompt
    voices: tuple[np.ndarray, np.ndarray] | None
    keep: bool = False


def evaluate_policy(
    workers: Workers[Studio],
    texts: EvaluationSet,
    decoding: Decoding,
    draws: int,
    params: Params,
    title: str,
    *,
    name: str = "best",
    keep: Collection[int] = (),
) -> Evaluated:
    """Draw every text ``draws`` times and judge each sample, by the reward's own judges and by the held-out ones.

    Args:
        title: of the progress bar.
        name: of the decoding in the table, ``best`` or ``loop``.
        keep: positions of the texts whose first draw keeps its waveform.
    """
    voice, judges = workers.state.voice, workers.state.judges[0]
    sampled = _sample(workers, texts, decoding, range(draws), params, title)
    voices = [texts.voices(judge, voice.sample_rate) for judge in judges]
    items = [
        ToHear(
            texts.rows[i % len(texts)],
            s.tokens,
            texts.prompts[i % len(texts)],
            (voices[0][i % len(texts)], voices[1][i % len(texts)]),
            i in keep,
        )
        for i, s in enumerate(sampled)
    ]
    heard = _rendered(workers, items, _judged, params, title)
    seeds = [seed for draw in range(draws) for seed in texts.seeds(draw)]
    rows = [
        {
            **row,
            "system": "policy",
            "draw": i // len(texts),
            "seed": seeds[i],
            "decoding": name,
            **decoding_columns(decoding),
            "finished": sampled[i].finished,
        }
        for i, (row, _) in enumerate(heard)
    ]
    if params.policy.voice == "none":  # the voice is the model's own: there is none to compare it with
        rows = [{**row, "similarity": None, "held_out_similarity": None} for row in rows]
    return Evaluated(rows, sampled, {i: wave for i, (_, wave) in enumerate(heard) if wave is not None})


def count_errors(
    workers: Workers[Studio], texts: EvaluationSet, decoding: Decoding, params: Params, title: str
) -> list[EditCounts]:
    """Draw every text once and return each sample's word errors, by the recognizer that chooses pairs."""
    sampled = _sample(workers, texts, decoding, [CHOICE], params, title)
    items = [
        ToHear(row, s.tokens, prompt, None) for row, s, prompt in zip(texts.rows, sampled, texts.prompts, strict=True)
    ]
    return _rendered(workers, items, _counted, params, title)


def _judged(judges: Judges, items: list[ToHear], waves: list[np.ndarray], rate: int) -> list[Any]:
    """Return each sample's row, and its waveform where that is kept."""
    both = [item.voices for item in items if item.voices is not None]
    voices = [np.stack([one[place] for one in both]) for place in (0, 1)]
    rows = judge(judges, [item.row for item in items], waves, rate, voices)
    return [(row, wave if item.keep else None) for row, wave, item in zip(rows, waves, items, strict=True)]


def _counted(judges: Judges, items: list[ToHear], waves: list[np.ndarray], rate: int) -> list[Any]:
    return judges.panel.count_errors(waves, rate, [item.row["text"] for item in items])


def _sample(
    workers: Workers[Studio],
    texts: EvaluationSet,
    decoding: Decoding,
    draws: Sequence[int],
    params: Params,
    title: str,
) -> list[Sampled]:
    voice, batch_size = workers.state.voice, params.evaluate.batch_size
    items = [
        ToDraw(text, prompt, seed, voice.policy.request(text, prompt, decoding=decoding, seed=seed))
        for draw in draws
        for text, prompt, seed in zip(texts.texts, texts.prompts, texts.seeds(draw), strict=True)
    ]
    work = partial(_drawn, decoding=decoding, batch_size=batch_size, precision=params.compute.precision)
    with Bar(f"{title} sample", len(items)) as bar:
        return workers.spread(
            work, items, key=lambda item: by_context(item.request), size=batch_size, on_done=bar.advance
        )


def _drawn(
    studio: Studio, items: list[ToDraw], done: Done, *, decoding: Decoding, batch_size: int, precision: str
) -> list[Sampled]:
    texts, prompts, seeds = zip(*((item.text, item.prompt, item.seed) for item in items), strict=True)
    dtype = dtype_of(precision, studio.voice.device)
    return studio.voice.sample(texts, prompts, seeds, decoding, batch_size, done, dtype)


def _rendered(
    workers: Workers[Studio],
    items: list[ToHear],
    judged: Callable[[Judges, list[ToHear], list[np.ndarray], int], list[Any]],
    params: Params,
    title: str,
) -> list[Any]:
    """Render the samples and give their waveforms to ``judged``, a function of this module."""
    work = partial(_heard, judged=judged, batch_size=params.evaluate.batch_size, part=PART)
    with Bar(f"{title} judge", len(items)) as bar:
        return workers.spread(work, items, key=_longest_first, size=PART, on_done=bar.advance)


def _heard(
    studio: Studio,
    items: list[ToHear],
    done: Done,
    *,
    judged: Callable[[Judges, list[ToHear], list[np.ndarray], int], list[Any]],
    batch_size: int,
    part: int,
) -> list[Any]:
    """Return what ``judged`` finds of each sample, in parts of similar lengths, the longest first."""
    voice = studio.voice
    order = sorted(range(len(items)), key=lambda i: _longest_first(items[i]))
    parts = [[items[i] for i in members] for members in cut(order, part)]

    def one(worker: int, members: list[ToHear]) -> list[Any]:
        _, waves = voice.render([item.tokens for item in members], [item.prompt for item in members], batch_size)
        found = judged(studio.judges[worker], members, waves, voice.sample_rate)
        done(len(members))
        return found

    results = [found for each in parallel_map(one, parts, voice.device.type) for found in each]
    place = dict(zip(order, results, strict=True))
    return [place[i] for i in range(len(items))]


def _longest_first(item: ToHear) -> int:
    return -len(item.tokens)
