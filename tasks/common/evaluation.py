"""Synthesize and judge the test set, for ``evaluate@k``, ``ceiling`` and the gate.

Scores of the judged utterances are computed in :mod:`tasks.common.scores`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from model.judges.held_out import HeldOut, SecondOpinion
from model.judges.panel import Judgement, Panel
from model.voice import Utterance, Voice
from tasks.common.decoding import decoding_of
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.utterances import Utterances, load_waves

Row = dict[str, Any]


class EvaluationSet:
    """The test utterances with all that a system is given or compared to: prompt, voice, golden audio, seed."""

    def __init__(self, rows: Utterances, params: Params):
        self.rows = rows
        voices = [rows.fixed(i, params.seed) for i in range(len(rows))]
        self.prompt_rows = [rows[i] for i in voices]
        self.prompts = [rows.codes(i)[:, : params.prompt_frames] for i in voices]
        # A seed of the utterance's own: the same in every iteration, so that differences are paired.
        self.seeds = [seed_of(params.seed, id_) for id_ in rows.ids]
        self.golden = load_waves("test", rows.ids)
        self.decoding = decoding_of(params)
        self._embedded: dict[Panel | HeldOut, np.ndarray] = {}

    def judge(
        self,
        system: str,
        waves: Sequence[np.ndarray],
        sample_rate: int,
        judges: tuple[Panel, HeldOut],
        finished: Sequence[bool],
        title: str,
    ) -> list[Row]:
        """Judge one wave per utterance, by the reward's own judges and by the held-out ones.

        Args:
            finished: False where the wave was cut off at the length limit.
            title: of the progress bar.
        Returns:
            rows of ``schemas.UTTERANCES``, one per utterance; none is ever left out.
        """
        texts = [row["text"] for row in self.rows]
        panel, held_out = judges
        decoding = {name: getattr(self.decoding, name) for name in ("temperature", "top_k", "top_p")}
        with Bar(f"{title} judge", 2 * len(waves)) as bar:
            judgements = panel.judge(waves, sample_rate, texts, self._voices(panel, sample_rate), bar.advance)
            opinions = held_out.judge(waves, sample_rate, texts, self._voices(held_out, sample_rate), bar.advance)
        return [
            {
                "id": row["id"],
                "system": system,
                "set": "recorded",
                "draw": 0,
                "decoding": "best",
                **decoding,
                "speaker": row["speaker"],
                "seen": row["seen"],
                "text": row["text"],
                "prompt_id": prompt["id"],
                "seed": seed,
                "finished": bool(done),
                **vars(judgement),
                "seconds": len(wave) / sample_rate,
                "golden_seconds": row["seconds"],
                **_held_out_columns(opinion),
            }
            for row, prompt, seed, judgement, opinion, wave, done in zip(
                self.rows, self.prompt_rows, self.seeds, judgements, opinions, waves, finished, strict=True
            )
        ]

    def _voices(self, judge: Panel | HeldOut, sample_rate: int) -> np.ndarray:
        """Embeddings ``(n, d)`` of each utterance's voice prompt (the whole prompt utterance, golden audio)."""
        if judge not in self._embedded:
            unique = sorted({r["id"] for r in self.prompt_rows})
            embedded = judge.embed([self.golden[i] for i in unique], sample_rate)
            self._embedded[judge] = embedded[[unique.index(r["id"]) for r in self.prompt_rows]]
        return self._embedded[judge]


def _held_out_columns(opinion: SecondOpinion) -> Row:
    """Columns of ``schemas.UTTERANCES``: what an own judge measures too is marked as held out."""
    twice = Judgement.__dataclass_fields__
    return {f"held_out_{name}" if name in twice else name: value for name, value in vars(opinion).items()}


def seed_of(seed: int, utterance: str) -> int:
    """A 62-bit seed from the loop's seed and an utterance's id."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{utterance}".encode()).digest()[:8], "big") >> 2


def evaluate_policy(
    voice: Voice, test: EvaluationSet, panel: Panel, held_out: HeldOut, params: Params, title: str
) -> tuple[list[Row], list[Utterance]]:
    """Synthesize and judge every test utterance, by the reward's own judges and by the held-out ones.

    A sample that ran into the length limit is cut off there and judged as it is. One that came out empty is all
    deletions and similarity 0. Both stay in every average.

    Returns:
        rows of ``schemas.UTTERANCES``, and the utterances with their tokens and waveforms.
    """
    decoding = decoding_of(params)
    with Bar(f"{title} synthesize", len(test.rows)) as bar:
        texts = [r["text"] for r in test.rows]
        spoken = voice.synthesize(texts, test.prompts, test.seeds, decoding, params.evaluate.batch_size, bar.advance)
    waves, finished = [u.wave for u in spoken], [u.sampled.finished for u in spoken]
    return test.judge("policy", waves, voice.sample_rate, (panel, held_out), finished, title), spoken


def audio_choice(rows: Sequence[Row], n: int) -> list[int]:
    """Indices of the utterances whose audio is kept: even steps of the sorted ids, seen and unseen alternating."""
    order = sorted(range(len(rows)), key=lambda i: rows[i]["id"])
    kinds = [[i for i in order if rows[i]["seen"] is seen] for seen in (True, False)]
    share = [n - n // 2, n // 2] if all(kinds) else [n, n]
    chosen = []
    for members, k in zip(kinds, share, strict=True):
        if members:
            chosen += [members[int(j)] for j in np.linspace(0, len(members) - 1, min(k, len(members)))]
    return chosen


def write_flac(path: Path, wave: np.ndarray, sample_rate: int) -> None:
    """Write samples, clipped to [-1, 1]; one silent sample where there are none."""
    soundfile.write(path, np.clip(wave, -1, 1) if wave.size else np.zeros(1, np.float32), sample_rate, format="FLAC")
