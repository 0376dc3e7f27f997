"""A study in miniature: arms of every kind, and what they keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.arms import Study
from tasks.common import schemas
from tasks.common.files import write_json, write_table

ARM = {"group": "controls", "shares": "pairs"}
STUDY = {
    "seeds": [17, 18],
    "common": {},
    "loop": {"title": "DPO", "group": "loop", "first": 0, "last": 3, "shares": "nothing", "against": None},
    "arms": {"sft": {**ARM, "title": "continued SFT"}, "late": {**ARM, "title": "late", "first": 2, "last": 2}},
    "one_seed": [17],
    "single": {"ipo": {**ARM, "title": "IPO", "group": "methods", "against": "sft"}},
    "starts": {"less": {"title": "less", "group": "data", "first": 0, "last": 0, "shares": "data", "against": None}},
    "later": {"golden": {**ARM, "title": "golden", "group": "data", "after": "less", "against": None}},
}
TEXTS = 30
WORDS = {"recorded": 3, "long": 6}


def judged(seed: int, wer: float, sets: tuple[str, ...] = ("recorded", "long")) -> list[dict[str, Any]]:
    """Two draws of each text; the texts of one seed are others than those of another."""
    rng = np.random.default_rng([seed, round(1000 * wer)])
    empty = dict.fromkeys(schemas.UTTERANCES.names)
    return [
        {
            **empty,
            "id": f"test-{i}",
            "set": name,
            "speaker": f"s{i % 5}",
            "seen": i % 5 > 1,
            "text": f"{seed} {name} {i}",
            "prompt_id": f"test-{i + 1}",
            "draw": draw,
            "seed": 1000 * seed + 10 * i + draw + (500 if name == "long" else 0),
            "decoding": decoding,
            "temperature": 0.5,
            "finished": True,
            "word_errors": int(rng.binomial(WORDS[name], wer if decoding == "best" else 0.9)),
            "words": WORDS[name],
            "held_out_word_errors": int(rng.binomial(WORDS[name], wer)),
            "similarity": 0.8,
            "seconds": 1.0,
        }
        for decoding in ("best", "loop")
        for name in sets
        for i in range(TEXTS)
        for draw in range(2)
    ]


def write(study: Study, name: str, iteration: int, wer: float, seeds: tuple[int, ...] = (17, 18), **judging: Any):
    for seed in seeds:
        folder = study.results(name, seed) / str(iteration)
        write_table(folder / "utterances.parquet", judged(seed, wer, **judging), schemas.UTTERANCES)
        write_json(folder / "metrics.json", {"decoding": {"best": {"temperature": 0.5}, "loop": {"temperature": 1.0}}})
