"""Evaluation shared by ``evaluate@k``, ``ceiling`` and the gate: render, judge, and summarise with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from model.errors import InputError
from model.judges.held_out import HeldOut, SecondOpinion
from model.judges.panel import Judgement, Panel
from model.metrics import bootstrap_interval, paired_interval
from model.voice import Utterance, Voice
from tasks.common.decoding import decoding_of
from tasks.common.golden_audio import load_waves
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.prompts import Prompts, codes_of

Row = dict[str, Any]
Interval = dict[str, float]  # value, low, high
F0_SPREAD = "f0_spread"  # the one measure that a single utterance may lack: too little in it is voiced
# Name of the metric → numerator and denominator of its ratio of sums over utterances; None: a mean.
COLUMNS = {
    "wer": ("word_errors", "words"),
    "cer": ("character_errors", "characters"),
    "similarity": ("similarity", None),
    "duration_ratio": ("seconds", "golden_seconds"),
    # Left out where params.yaml names no such judge.
    "held_out_wer": ("held_out_word_errors", "words"),
    "held_out_similarity": ("held_out_similarity", None),
    F0_SPREAD: (F0_SPREAD, None),
}
METRICS = tuple(COLUMNS)
SHORTEST_SPEECH = 0.1  # seconds: no word is said in less


class TestSet:
    """The test utterances with everything a system is given or compared to: prompt, voice, golden audio, seed."""

    __test__ = False  # not a test class, whatever its name looks like to pytest

    def __init__(self, rows: list[Row], params: Params):
        prompts = Prompts(rows)
        self.rows = rows
        self.prompt_rows = [rows[prompts.fixed(i, params.seed)] for i in range(len(rows))]
        self.prompts = [codes_of(r)[:, : params.prompt_frames] for r in self.prompt_rows]
        # A seed of the utterance's own: the same in every iteration, so that differences are paired.
        self.seeds = [seed_of(params.seed, row["id"]) for row in rows]
        self.golden = load_waves("test", [r["id"] for r in rows])

    def voices(self, panel: Panel | HeldOut, sample_rate: int) -> np.ndarray:
        """Embeddings ``(n, d)`` of each utterance's voice prompt (the whole prompt utterance, golden audio)."""
        unique = sorted({r["id"] for r in self.prompt_rows})
        place = {id_: i for i, id_ in enumerate(unique)}
        embedded = panel.embed([self.golden[i] for i in unique], sample_rate)
        return embedded[[place[r["id"]] for r in self.prompt_rows]]

    def table(
        self,
        system: str,
        judgements: Sequence[Judgement],
        opinions: Sequence[SecondOpinion],
        seconds: Sequence[float],
        finished: Sequence[bool],
    ) -> list[Row]:
        """Rows of ``schemas.UTTERANCES``, one an utterance; none is ever left out."""
        return [
            {
                "id": row["id"],
                "system": system,
                "speaker": row["speaker"],
                "seen": row["seen"],
                "text": row["text"],
                "prompt_id": prompt["id"],
                "seed": seed,
                "finished": bool(done),
                "hypothesis": j.hypothesis,
                "word_errors": j.word_errors,
                "words": j.words,
                "character_errors": j.character_errors,
                "characters": j.characters,
                "similarity": j.similarity,
                "seconds": float(length),
                "golden_seconds": row["seconds"],
                "held_out_hypothesis": other.hypothesis,
                "held_out_word_errors": other.word_errors,
                "held_out_similarity": other.similarity,
                F0_SPREAD: other.f0_spread,
            }
            for row, prompt, seed, j, other, length, done in zip(
                self.rows, self.prompt_rows, self.seeds, judgements, opinions, seconds, finished, strict=True
            )
        ]


def unspoken(row: Mapping[str, Any]) -> bool:
    """Whether an utterance came out too short to be speech. The sampler draws one code at least, so none is empty."""
    return row["seconds"] < SHORTEST_SPEECH


def seed_of(seed: int, utterance: str) -> int:
    """A 62-bit seed from the loop's seed and an utterance's id."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{utterance}".encode()).digest()[:8], "big") >> 2


def evaluate_policy(
    voice: Voice, test: TestSet, panel: Panel, held_out: HeldOut, params: Params, title: str
) -> tuple[list[Row], list[Utterance]]:
    """Speak and judge every test utterance, by the reward's own judges and by the held-out ones.

    A sample that ran into the length limit is cut off there and judged as it sounds; one that came out empty is all
    deletions and similarity 0. Both stay in every average.
    """
    decoding = decoding_of(params)
    with Bar(f"{title} speak", len(test.rows)) as bar:
        texts = [r["text"] for r in test.rows]
        spoken = voice.synthesize(texts, test.prompts, test.seeds, decoding, params.evaluate.batch_size, bar.advance)
    with Bar(f"{title} judge", len(test.rows)) as bar:
        voices = test.voices(panel, voice.sample_rate)
        waves = [u.wave for u in spoken]
        judgements = panel.judge(waves, voice.sample_rate, texts, voices, bar.advance)
    with Bar(f"{title} held-out judges", len(test.rows)) as bar:
        others = test.voices(held_out, voice.sample_rate)
        opinions = held_out.judge(waves, voice.sample_rate, texts, others, bar.advance)
    seconds = [len(u.wave) / voice.sample_rate for u in spoken]
    return test.table("policy", judgements, opinions, seconds, [u.sampled.finished for u in spoken]), spoken


def _has(row: Row, metric: str) -> bool:
    return row.get(COLUMNS[metric][0]) is not None


def _columns(rows: Sequence[Row], metric: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Numerators and denominators (None for a mean) of a metric."""
    top, bottom = COLUMNS[metric]
    if not all(_has(row, metric) for row in rows):
        raise ValueError(f"some of {len(rows)} utterances lack {top}: judge all of them, or none")
    return np.array([r[top] for r in rows]), None if bottom is None else np.array([r[bottom] for r in rows])


def _value(num: np.ndarray, den: np.ndarray | None) -> float:
    return float(num.mean()) if den is None else float(num.sum() / den.sum())


def summarize(rows: Sequence[Row], resamples: int, seed: int) -> dict[str, Interval]:
    """Each measured metric with its 95 % interval over utterances. Error rates are micro-averaged."""
    summary = {}
    for metric in METRICS:
        if not any(_has(row, metric) for row in rows):
            continue  # there was no such judge
        num, den = _columns([r for r in rows if metric != F0_SPREAD or _has(r, metric)], metric)
        low, high = bootstrap_interval(num, den, resamples, seed)
        summary[metric] = {"value": _value(num, den), "low": low, "high": high}
    return summary


def by_speaker_kind(rows: Sequence[Row], resamples: int, seed: int) -> dict[str, dict[str, Interval]]:
    """``summarize`` of all rows and of seen and unseen speakers, where there are any."""
    kinds = {"all": list(rows), "seen": [r for r in rows if r["seen"]], "unseen": [r for r in rows if not r["seen"]]}
    return {kind: summarize(part, resamples, seed) for kind, part in kinds.items() if part}


def compare(before: Sequence[Row], after: Sequence[Row], resamples: int, seed: int) -> dict[str, Interval]:
    """``after`` minus ``before`` of each metric that both have, paired on utterance, prompt and seed.

    The spread of pitch is compared on the utterances where both have one.

    Raises:
        InputError: the two tables are not of the same utterances, prompts and seeds.
    """
    key = ("id", "prompt_id", "seed")
    first = {tuple(r[k] for k in key): r for r in before}
    second = {tuple(r[k] for k in key): r for r in after}
    if first.keys() != second.keys():
        raise InputError(
            f"{len(first.keys() ^ second.keys())} test utterances, prompts or seeds differ between the two "
            "evaluations; evaluate both on the same test set"
        )
    ordered = sorted(first)
    differences = {}
    for metric in METRICS:
        keys = [k for k in ordered if metric != F0_SPREAD or (_has(first[k], metric) and _has(second[k], metric))]
        if not all(any(_has(table[k], metric) for k in keys) for table in (first, second)):
            continue
        a, a_den = _columns([first[k] for k in keys], metric)
        b, b_den = _columns([second[k] for k in keys], metric)
        low, high = paired_interval(a, b, a_den, b_den, resamples, seed)
        differences[metric] = {"value": _value(b, b_den) - _value(a, a_den), "low": low, "high": high}
    return differences


def audio_choice(rows: Sequence[Row], n: int) -> list[int]:
    """Indices of the utterances whose audio is kept: spread evenly over the sorted ids, seen and unseen alternating."""
    order = sorted(range(len(rows)), key=lambda i: rows[i]["id"])
    kinds = [[i for i in order if rows[i]["seen"] is seen] for seen in (True, False)]
    share = [n - n // 2, n // 2] if all(kinds) else [n, n]
    chosen = []
    for members, k in zip(kinds, share, strict=True):
        if members:
            chosen += [members[int(j)] for j in np.linspace(0, len(members) - 1, min(k, len(members)))]
    return chosen


def flac_pcm(wave: np.ndarray | torch.Tensor) -> np.ndarray:
    """Samples as they go into a FLAC file: clipped to [-1, 1], and one silent sample where there are none."""
    samples = np.clip(np.asarray(wave, dtype=np.float32), -1, 1)
    return samples if samples.size else np.zeros(1, dtype=np.float32)
