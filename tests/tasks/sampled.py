"""A small workspace as ``prefer@1`` finds it: untrained models, a train split, and two iterations' samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from lhotse import CutSet, Recording

from model import policy
from model.layouts.own import build_layout
from model.layouts.speech import Speech
from tasks.common import paths, schemas
from tasks.common.files import write_table
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.prefer.golden import Golden
from tests.tasks.register import tiny

TEXTS = 4
DRAWS = 3
LAYOUT = build_layout(tiny.CODEBOOK)
FRAMES_PER_SECOND = tiny.SAMPLE_RATE // 40


def train_rows() -> dict[str, dict[str, Any]]:
    """Utterances u0 to u3 of two speakers, by id: rows of schemas.CODES."""
    rng = np.random.default_rng(0)
    return {
        f"u{i}": {
            "id": f"u{i}",
            "speaker": f"s{i % 2}",
            "text": "one two",
            "seen": True,
            "seconds": 0.5,
            "codes": rng.integers(0, tiny.CODEBOOK, (2, FRAMES_PER_SECOND // 2)).tolist(),
        }
        for i in range(TEXTS)
    }


def golden() -> Golden:
    """Return the recordings of train as tokens of the tiny policy."""
    return Golden(Voices(Utterances.of(train_rows().values()), 10), LAYOUT)


def samples(digest: str = "0123456789ab", iteration: str = "1") -> list[dict[str, Any]]:
    """Three draws of each text: rows of schemas.SAMPLES."""
    rng = np.random.default_rng(int(iteration))
    rows = []
    for i in range(TEXTS):
        for draw in range(DRAWS):
            tokens = LAYOUT.target(Speech.of(rng.integers(0, tiny.CODEBOOK, 60 + 10 * draw)), finished=False)
            rows.append(
                {
                    "id": f"u{i}",
                    "text": "one two",
                    "prompt_id": f"u{(i + 2) % TEXTS}",
                    "draw": draw,
                    "seed": int(rng.integers(2**62)),
                    "tokens": tokens,
                    "logprobs": [-1.0] * (len(tokens) + 1),
                    "behavior": [-1.0] * (len(tokens) + 1),
                    "finished": draw != 2,
                    "stop": None if draw == 2 else LAYOUT.stops[0],
                    "temperature": 1.0,
                    "top_k": 0,
                    "top_p": 1.0,
                    "max_frames_per_character": 2.0,
                    "policy": digest,
                }
            )
    return rows


def write(folder: Path, **prefer: Any) -> list[dict[str, Any]]:
    """Lay out everything; return iteration 1's samples. The working directory must be ``folder``."""
    tiny.params(folder)
    configure(folder, **{"replay": 0.0, **prefer})
    tiny.write_models(folder)
    tiny.write_recognizer(folder)
    for iteration in ("0", "1"):
        tiny.write_policy(folder, iteration, seed=int(iteration))
    rows, cuts = train_rows(), []
    (folder / paths.AUDIO / "train").mkdir(parents=True)
    for name in rows:
        path = folder / paths.AUDIO / f"train/{name}.flac"
        soundfile.write(path, 0.3 * np.sin(np.arange(tiny.SAMPLE_RATE // 2) / 9), tiny.SAMPLE_RATE)
        cuts.append(Recording.from_file(path).to_cut().with_id(name))
    write_table(folder / paths.codes("train"), list(rows.values()), schemas.CODES)
    (folder / paths.CUTS).mkdir()
    CutSet.from_items(cuts).to_file(folder / paths.cuts("train"))
    pool = [{name: row[name] for name in ("id", "text", "speaker", "seen")} for row in rows.values()]
    pool = [{**row, "prompt_id": f"u{(i + 2) % TEXTS}"} for i, row in enumerate(pool)]
    write_table(folder / paths.texts("train"), pool, schemas.TEXTS)
    write_table(folder / paths.pairs("0"), [], schemas.PAIRS)
    for iteration in ("1", "2"):
        digest = policy.digest(folder / paths.ar(str(int(iteration) - 1)))
        write_table(folder / paths.samples(iteration), samples(digest, iteration), schemas.SAMPLES)
    return samples(policy.digest(folder / paths.ar("0")))


def configure(folder: Path, **prefer: Any) -> None:
    """Change the ``prefer`` block of its params.yaml."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["compute"] |= {"device": "cpu", "threads": 1}
    content["texts"]["sample"] = "corpus"
    content["prefer"].update(prefer)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def start_from(folder: Path, start: str) -> None:
    """Set ``policy.start`` in its params.yaml."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["policy"]["start"] = start
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
