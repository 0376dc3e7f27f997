"""Recorded utterances to make texts for, and a ``params.yaml``."""

from __future__ import annotations

from typing import Any

import yaml

from tasks.common.digits import WORDS
from tasks.common.params import Params
from tasks.texts.recorded import Recorded
from tests.conftest import REPOSITORY, merge

TEXTS = {"train": [" ".join(WORDS[:5]), " ".join(WORDS[5:]), "six one"], "dev": ["one one"], "test": ["two two"]}
SPEAKERS = {"train": "abc", "dev": "ab", "test": "acxyz"}  # x, y and z are unseen


def recorded(split: str) -> Recorded:
    """Three utterances of each of the split's speakers, the texts in turn."""
    speakers = [speaker for speaker in SPEAKERS[split] for _ in range(3)]
    ids = [f"{split}-{speaker}-{i}" for i, speaker in enumerate(speakers)]
    texts = [TEXTS[split][i % len(TEXTS[split])] for i in range(len(ids))]
    members = {speaker: [i for i, s in enumerate(speakers) if s == speaker] for speaker in SPEAKERS[split]}
    return Recorded(split, ids, texts, speakers, members, {s: s not in "xyz" for s in SPEAKERS[split]})


def corpus() -> dict[str, Recorded]:
    return {split: recorded(split) for split in TEXTS}


def params(seed: int = 17, **changes: Any) -> Params:
    """Return the defaults with ``changes`` of the block texts, which asks for few."""
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    merge(content, {"seed": seed, "texts": {"sample_pool": 50, "long_utterances": 12, **changes}})
    return Params.model_validate(content)
