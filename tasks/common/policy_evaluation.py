"""Sample a policy on a set of texts, and judge what it says: for ``evaluate@k`` and the gate.

A sample that ran into the length limit is cut off there and judged as it is. One that came out empty is all deletions
and similarity 0. Both stay in every average.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from model.fast.parallel import parallel_map
from model.metrics import EditCounts
from model.sampling import Decoding, Sampled
from model.voice import Voice
from tasks.common.evaluation import EvaluationSet, Judges, Row, decoding_columns, judge
from tasks.common.params import Params
from tasks.common.progress import Bar

PART = 64  # samples rendered and judged at a time: their audio is not kept
CHOICE = -1  # a draw of its own, so that no decoding is chosen by the samples that it is then judged by
R = TypeVar("R")


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


def evaluate_policy(
    voice: Voice,
    texts: EvaluationSet,
    decoding: Decoding,
    draws: int,
    judges: Sequence[Judges],
    params: Params,
    title: str,
    *,
    name: str = "best",
    keep: Collection[int] = (),
) -> Evaluated:
    """Draw every text ``draws`` times and judge each sample, by the reward's own judges and by the held-out ones.

    Args:
        judges: of :func:`per_thread`.
        title: of the progress bar.
        name: of the decoding in the table, ``best`` or ``loop``.
        keep: positions of the texts whose first draw keeps its waveform.
    """
    sampled = _sample(voice, texts, decoding, range(draws), params, title)
    rate = voice.sample_rate
    voices = texts.voices(judges[0].panel, rate), texts.voices(judges[0].held_out, rate)
    seeds = [seed for draw in range(draws) for seed in texts.seeds(draw)]
    waves = {}

    def work(own: Judges, part: list[int], rendered: list[np.ndarray]) -> list[Row]:
        waves.update({i: wave for i, wave in zip(part, rendered, strict=True) if i in keep})
        place = [i % len(texts) for i in part]
        rows = judge(own, [texts.rows[i] for i in place], rendered, rate, (voices[0][place], voices[1][place]))
        return [
            {
                **row,
                "system": "policy",
                "draw": i // len(texts),
                "seed": seeds[i],
                "decoding": name,
                **decoding_columns(decoding),
                "finished": sampled[i].finished,
            }
            for i, row in zip(part, rows, strict=True)
        ]

    return Evaluated(_rendered(voice, texts, sampled, work, judges, params, title), sampled, waves)


def count_errors(
    voice: Voice, texts: EvaluationSet, decoding: Decoding, judges: Sequence[Judges], params: Params, title: str
) -> list[EditCounts]:
    """Draw every text once and return each sample's word errors, by the recognizer that chooses pairs."""
    sampled = _sample(voice, texts, decoding, [CHOICE], params, title)

    def work(own: Judges, part: list[int], rendered: list[np.ndarray]) -> list[EditCounts]:
        return own.panel.count_errors(rendered, voice.sample_rate, [texts.rows[i]["text"] for i in part])

    return _rendered(voice, texts, sampled, work, judges, params, title)


def _sample(
    voice: Voice, texts: EvaluationSet, decoding: Decoding, draws: Sequence[int], params: Params, title: str
) -> list[Sampled]:
    if not draws:
        return []
    seeds = [seed for draw in draws for seed in texts.seeds(draw)]
    with Bar(f"{title} sample", len(seeds)) as bar:
        many = len(draws)
        batch_size = params.evaluate.batch_size
        return voice.sample(texts.texts * many, texts.prompts * many, seeds, decoding, batch_size, bar.advance)


def _rendered(
    voice: Voice,
    texts: EvaluationSet,
    sampled: Sequence[Sampled],
    work: Callable[[Judges, list[int], list[np.ndarray]], list[R]],
    judges: Sequence[Judges],
    params: Params,
    title: str,
) -> list[R]:
    """Render the samples and give their waveforms to ``work``, in parts of similar lengths, the longest first."""
    order = sorted(range(len(sampled)), key=lambda i: -len(sampled[i].tokens))
    parts = [order[first : first + PART] for first in range(0, len(order), PART)]
    with Bar(f"{title} judge", len(sampled)) as bar:

        def one(worker: int, part: list[int]) -> list[R]:
            prompts = [texts.prompts[i % len(texts)] for i in part]
            _, waves = voice.render([sampled[i].tokens for i in part], prompts, params.evaluate.batch_size)
            found = work(judges[worker], part, waves)
            bar.advance(len(part))
            return found

        done = parallel_map(one, parts, voice.device.type)
    place = {
        i: found for part, results in zip(parts, done, strict=True) for i, found in zip(part, results, strict=True)
    }
    return [place[i] for i in range(len(sampled))]
