"""A small loop as the stages would have left it: the files that the report reads, with made-up content."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tasks.common import schemas
from tasks.common.files import write_json, write_table
from tasks.common.scores import by_speaker_kind, tables, to_json

REPOSITORY = Path(__file__).resolve().parents[3]
RATE = 16000
DIGITS = "zero one two three four five six seven eight nine".split()
BEST = {"temperature": 0.5, "top_k": 0, "top_p": 1.0}
LOOP = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
HOTTER = 1.5  # times the error rate at the loop's decoding
RESAMPLES = 100
BOUNDS = {"floor": 0.575, "ceiling": 0.89}  # of similarity
SPEAKERS = [("f2", True), ("klatt2", True), ("m6", True), ("Reed", True), ("Michael", False), ("belinda", False)]


@dataclass
class Loop:
    """What to write. ``error_rates``: chance of a wrong word, by iteration; one that is left out was not run."""

    root: Path
    error_rates: dict[str, float] = field(default_factory=lambda: {"0": 0.12, "1": 0.09, "2": 0.07, "3": 0.06})
    utterances: int = 24  # recorded texts, and as many long ones
    draws: int = 2
    sets: tuple[str, ...] = ("recorded", "long")
    one_decoding: bool = False  # the best decoding is the loop's
    audio_samples: int = 2  # of each set
    n_pairs: int = 120
    texts: dict[int, str] = field(default_factory=dict)  # instead of digits, by utterance number
    ids: dict[int, str] = field(default_factory=dict)
    speakers: list[tuple[str, bool]] = field(default_factory=lambda: list(SPEAKERS))
    held_out_rates: dict[str, float] | None = field(default_factory=lambda: {"0": 0.2, "1": 0.18, "2": 0.16, "3": 0.16})
    spreads: dict[str, float] = field(default_factory=dict)  # of pitch in semitones, by iteration; 4 otherwise

    def write(self) -> Loop:
        self.rng = np.random.default_rng(5)
        params = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
        few = re.sub(r"(?m)^  bootstrap_samples: \d+", f"  bootstrap_samples: {RESAMPLES}", params)
        third = '  "3": {prev: "2", beta: null}\n'
        (self.root / "params.yaml").write_text(re.sub(r"(?m)^  \"2\": .*\n", rf"\g<0>{third}", few), encoding="utf-8")
        self.rows = [self._utterance(i, texts) for texts in self.sets for i in range(self.utterances)]
        self.recorded = [row for row in self.rows if row["set"] == "recorded"]
        self._data()
        judged: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for name, rate in self.error_rates.items():
            judged[name] = {
                "dev": self._sampled(name, rate, "best"),
                "test": self._sampled(name, rate, "best")
                + ([] if self.one_decoding else self._sampled(name, HOTTER * rate, "loop")),
            }
            self._run(name, judged)
        self._ceiling()
        return self

    def metrics(self, name: str) -> dict[str, Any]:
        return json.loads((self.root / f"runs/{name}/metrics.json").read_text())

    def _utterance(self, i: int, texts: str) -> dict[str, Any]:
        speaker, seen = self.speakers[i % len(self.speakers)]
        shortest, longest = (2, 4) if texts == "recorded" else (5, 8)
        text = " ".join(self.rng.choice(DIGITS, int(self.rng.integers(shortest, longest + 1))))
        name = f"{'test' if texts == 'recorded' else 'long'}-{speaker}-{i:04d}"
        if texts == "recorded":
            text, name = self.texts.get(i) or text, self.ids.get(i, name)
        seconds = 0.45 * len(text.split())
        return {"id": name, "set": texts, "speaker": speaker, "seen": seen, "text": text, "seconds": seconds}

    def _sampled(self, name: str, rate: float, decoding: str) -> list[dict[str, Any]]:
        """Judged draws of every text by one policy at one decoding."""
        at = BEST if decoding == "best" and not self.one_decoding else LOOP
        return [
            {**self._judge(row, "policy", rate, 0.80, name, draw), "draw": draw, "decoding": decoding, **at}
            for draw in range(self.draws)
            for row in self.rows
        ]

    def _judge(
        self,
        row: dict[str, Any],
        system: str,
        error_rate: float,
        similarity: float,
        iteration: str | None = None,
        draw: int = 0,
    ) -> dict[str, Any]:
        words = row["text"].split()
        transcribed = [str(self.rng.choice(DIGITS)) if self.rng.random() < error_rate else word for word in words]
        cut_off = system == "policy" and self.rng.random() < 0.01
        errors = sum(a != b for a, b in zip(words, transcribed, strict=True))
        characters = sum(map(len, words))
        return {
            "id": row["id"],
            "system": system,
            "set": row["set"],
            "speaker": row["speaker"],
            "seen": row["seen"],
            "text": row["text"],
            "prompt_id": f"train-{row['speaker']}-0001",
            "draw": draw,
            "seed": 1 + len(row["id"]) + draw,  # the same in every iteration
            "finished": not cut_off,
            "hypothesis": " ".join(transcribed),
            "word_errors": errors,
            "words": len(words),
            "deletions": 0,
            "insertions": 0,
            "spoken_words": len(words),
            "folded_word_errors": errors,
            "folded_words": len(words),
            "character_errors": min(characters, 3 * errors),
            "characters": characters,
            "similarity": float(np.clip(self.rng.normal(similarity, 0.05), -1, 1)),
            "seconds": row["seconds"] * float(self.rng.normal(1.02, 0.05)),
            "golden_seconds": row["seconds"] if row["set"] == "recorded" else None,
            **self._held_out(row, iteration, draw),
        }

    def _held_out(self, row: dict[str, Any], iteration: str | None, draw: int) -> dict[str, Any]:
        """The held-out judges, whose chance is their own so that the rest stays as it is without them."""
        rng = np.random.default_rng([len(row["id"]), *row["id"].encode(), int(iteration or 0), draw])
        transcribed: dict[str, Any] = dict.fromkeys(
            ("held_out_hypothesis", "held_out_word_errors", "held_out_similarity")
        )
        if self.held_out_rates is None:
            return {**transcribed, "f0_spread": None}
        rate = self.held_out_rates.get(iteration or "", 0.1)
        return {
            "held_out_hypothesis": row["text"],
            "held_out_word_errors": int(rng.binomial(len(row["text"].split()), rate)),
            "held_out_similarity": float(rng.normal(0.4, 0.1)),
            "f0_spread": float(self.spreads.get(iteration or "", 4.0) * rng.uniform(0.8, 1.2)),
        }

    def _run(self, name: str, judged: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
        folder, previous = self.root / "runs" / name, str(int(name) - 1)
        write_table(folder / "utterances.parquet", judged[name]["test"], schemas.UTTERANCES)

        def scores(split: str, decoding: str) -> dict[str, Any]:
            others = {} if name == "0" else {"versus_start": "0", "versus_previous": previous}
            before = {kind: judged[k][split] for kind, k in others.items() if k in judged}
            return tables(judged[name][split], decoding, RESAMPLES, 0, before=before)

        change = {} if name == "0" else {"kl": 0.0432, "temperature": 0.83, "share": 0.123}
        content = {
            "iteration": name,
            "decoding": {"best": LOOP if self.one_decoding else BEST, "loop": LOOP},
            "choice": [
                {**at, **dict.fromkeys(self.sets, self.error_rates[name] * factor)}
                for at, factor in ((LOOP, HOTTER), (BEST, 1.0))
            ],
            "scores": {
                "dev": {"best": scores("dev", "best")},
                "test": {which: scores("test", which) for which in ("best", "loop")},
            },
            "stuck": {
                which: {"samples": 400, "stuck": 7 * int(name), "redrawn": int(name)} for which in ("best", "loop")
            },
            "change": {"entropy": 0.765, **change},
        }
        if name != "0":
            self._pairs(folder, name)
        write_json(folder / "metrics.json", content)
        for row in self.spoken():
            self._speak(folder / "audio" / f"{row['id']}.flac", row["seconds"] * 1.03)

    def spoken(self) -> list[dict[str, Any]]:
        """Texts whose audio is kept."""
        return [
            row
            for texts in self.sets
            for row in [row for row in self.rows if row["set"] == texts][: self.audio_samples]
        ]

    def _ceiling(self) -> None:
        folder = self.root / "runs/ceiling"
        systems = {"golden": (0.0, 0.97), "resynthesised": (0.01, 0.93), "golden_nar": (0.03, 0.84)}
        rows = {name: [self._judge(row, name, *how) for row in self.recorded] for name, how in systems.items()}
        write_table(
            folder / "utterances.parquet", [row for found in rows.values() for row in found], schemas.UTTERANCES
        )
        bound = {end: {"value": at, "low": at - 0.01, "high": at + 0.01} for end, at in BOUNDS.items()}
        content = {name: kinds(found) for name, found in rows.items()}
        write_json(folder / "metrics.json", {**content, "voices": {"seen": bound, "unseen": bound}})
        chosen = self.recorded[: self.audio_samples]
        keep = ("id", "text", "speaker", "seen")
        index = [{**{k: row[k] for k in keep}, "prompt_id": f"train-{row['speaker']}-0001"} for row in chosen]
        write_json(folder / "audio/index.json", index)
        for row in chosen:
            for kind, seconds in (("prompt", 1.0), ("golden", row["seconds"]), ("resynthesised", row["seconds"])):
                self._speak(folder / "audio" / f"{row['id']}.{kind}.flac", seconds)

    def _speak(self, path: Path, seconds: float) -> None:
        """Something with a voice's harmonics and the rhythm of words."""
        time = np.arange(int(seconds * RATE)) / RATE
        pitch = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.8 * time)) / RATE
        formant = 600 + 350 * np.sin(2 * np.pi * 2.1 * time + self.rng.uniform(0, 6))
        tones = sum(
            np.exp(-(((n * 130 - formant) / 280) ** 2)) * np.sin(n * pitch)
            + 0.4 * np.exp(-(((n * 130 - 2400) / 500) ** 2)) * np.sin(n * pitch)
            for n in range(1, 14)
        )
        wave = tones * np.clip(np.sin(2 * np.pi * 2.2 * time), 0, 1) + 0.004 * self.rng.standard_normal(len(time))
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * wave, RATE, subtype="PCM_16")

    def _pairs(self, folder: Path, name: str) -> None:
        rows = []
        for i in range(self.n_pairs):
            lengths = self.rng.integers(40, 110, 2)
            gap = float(self.rng.choice([0.25, 1 / 3, 0.5, 0.667, 1.0]))
            rows.append(
                {
                    "id": f"train-{i:05d}",
                    "prompt_id": "train-f2-0001",
                    "iteration": name,
                    "text": "one two three",
                    "context": [1] * 50,
                    "chosen": [2] * int(lengths[0]),
                    "rejected": [3] * int(lengths[1]),
                    "chosen_logprob": float(self.rng.normal(-60, 8)),
                    "rejected_logprob": float(self.rng.normal(-66, 10)),
                    "chosen_finished": True,
                    "rejected_finished": bool(self.rng.random() > 0.03),
                    "chosen_wer": 0.0,
                    "rejected_wer": gap,
                    "chosen_similarity": float(self.rng.normal(0.82, 0.04)),
                    "rejected_similarity": float(self.rng.normal(0.79, 0.05)),
                    "reason": "fewer word errors" if i % 3 else "fewer word errors, more similar",
                    "source": "own_samples",
                    "policy": "sha256:0f3c9a",
                    "chosen_seed": 17,
                    "rejected_seed": 18,
                    "chosen_temperature": 1.0,
                    "rejected_temperature": 1.0,
                    "top_k": 0,
                    "max_frames_per_character": 12.0,
                    "judge": "checkpoints/whisper sha256:77aa01",
                }
            )
        write_table(folder / "pairs.parquet", rows, schemas.PAIRS)

    def _data(self) -> None:
        for split, n in (("train", 60), ("dev", 12), ("test", self.utterances)):
            path = self.root / f"data/cuts/{split}.jsonl.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            cuts = [
                {
                    "id": f"{split}-{i}",
                    "duration": 1.5,
                    "supervisions": [{"speaker": row["speaker"], "text": row["text"]}],
                    "custom": {"seen": row["seen"] or split != "test"},
                }
                for i, row in enumerate((self.recorded * 3)[:n])
            ]
            path.write_bytes(gzip.compress("".join(json.dumps(cut) + "\n" for cut in cuts).encode(), mtime=0))
        rejected = [("silent", "sound above -60 dB")] * 3 + [("too short", "at least 0.2 s")]
        lines = [
            {"id": f"x{i}", "path": f"x{i}.wav", "reason": r, "expected": e, "found": "?"}
            for i, (r, e) in enumerate(rejected)
        ]
        (self.root / "data/rejected.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def kinds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores by kind of speaker, as the ceiling has them."""
    return {kind: to_json(scores) for kind, scores in by_speaker_kind(rows, RESAMPLES, 0).items()}
