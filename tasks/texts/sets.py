"""The texts: which there are, which speaker reads each, and which utterance prompts the voice.

No text of a long set occurs in what trains a policy: neither among train's recordings nor in the pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np

from tasks.common import paths
from tasks.common.digits import WORDS, draw_texts
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.texts.lines import read_lines
from tasks.texts.recorded import Recorded

Row = dict[str, Any]  # of schemas.TEXTS
STREAMS = {"train": 20, "dev": 21, "test": 22}  # keep the splits' random numbers apart


def make_sets(params: Params, recorded: Mapping[str, Recorded]) -> dict[str, Iterable[Row]]:
    """Return the texts of every split, each once: train's are made while they are read.

    Args:
        recorded: the utterances of each split.

    Raises:
        DataError: a file of texts is not usable or too short, or the corpus doesn't have the digits' words.
    """
    rngs = {split: np.random.default_rng([params.seed, STREAMS[split]]) for split in paths.SPLITS}
    long = _long_texts(params, recorded, rngs)
    sets: dict[str, Iterable[Row]] = {
        split: _read_by_turns(texts, recorded[split], rngs[split], f"{split}-long") for split, texts in long.items()
    }
    held_out = {text for texts in long.values() for text in texts}
    held_out |= {text for split in ("dev", "test") for text in recorded[split].texts}
    sets["train"] = _pool(params, recorded["train"], held_out, rngs["train"])
    return {split: sets[split] for split in paths.SPLITS}


def _long_texts(
    params: Params, recorded: Mapping[str, Recorded], rngs: Mapping[str, np.random.Generator]
) -> dict[str, list[str]]:
    p = params.texts
    if p.long == "none":
        return {"dev": [], "test": []}
    if p.long == "digits":
        _check_words(recorded["train"], "texts.long", "file or none")
        return {split: draw_texts(p.long_utterances, split, *p.long_words, rngs[split]) for split in ("dev", "test")}
    lines = read_lines(Path(p.long_file), "texts.long_file", params.spelling.rules())
    asked = set(lines)
    known = {text for split in paths.SPLITS for text in recorded[split].texts if text in asked}
    new = [text for text in lines if text not in known]
    if len(new) < 2 * p.long_utterances:
        fewer = f", or set texts.long_utterances to at most {len(new) // 2}" if len(new) >= 4 else ""
        raise DataError(
            f"{p.long_file} holds {len(new)} texts that the corpus doesn't have, but dev and test take "
            f"{p.long_utterances} each; name a longer file{fewer}"
        )
    chosen = [new[i] for i in rngs["dev"].permutation(len(new))[: 2 * p.long_utterances]]
    return {"dev": chosen[: p.long_utterances], "test": chosen[p.long_utterances :]}


def _pool(params: Params, train: Recorded, held_out: set[str], rng: np.random.Generator) -> Iterable[Row]:
    """Return what ``sample@k`` draws from, without the texts of dev and test."""
    p = params.texts
    if p.sample == "corpus":
        utterances = zip(train.ids, train.texts, train.speakers, strict=True)
        return (
            _row(train, id_, text, speaker, train.prompt(speaker, rng, other_than=i))
            for i, (id_, text, speaker) in enumerate(utterances)
            if text not in held_out
        )
    if p.sample == "digits":
        _check_words(train, "texts.sample", "corpus or file")
        texts = draw_texts(p.sample_pool, "train", *p.sample_words, rng)
    else:
        texts = read_lines(Path(p.sample_file), "texts.sample_file", params.spelling.rules())
    usable = [text for text in texts if text not in held_out]
    if not usable:
        raise DataError(f"every text of {p.sample_file} is in dev or test; name a file with other texts")
    return _read_by_turns(usable, train, rng, "train-text")


def _turns(recorded: Recorded, rng: np.random.Generator) -> Iterator[str]:
    """Yield the speakers in turn without end; where some are unseen, every other one is."""
    speakers = sorted(recorded.members)
    speakers = [speakers[i] for i in rng.permutation(len(speakers))]
    kinds = [[speaker for speaker in speakers if recorded.seen[speaker] is kind] for kind in (True, False)]
    return chain.from_iterable(zip(*(cycle(kind) for kind in kinds if kind), strict=False))


def _read_by_turns(texts: Sequence[str], recorded: Recorded, rng: np.random.Generator, name: str) -> list[Row]:
    return [
        _row(recorded, f"{name}-{number:05d}", text, speaker, recorded.prompt(speaker, rng))
        for number, (text, speaker) in enumerate(zip(texts, _turns(recorded, rng), strict=False))
    ]


def _row(recorded: Recorded, id_: str, text: str, speaker: str, prompt_id: str) -> Row:
    return {"id": id_, "text": text, "speaker": speaker, "seen": recorded.seen[speaker], "prompt_id": prompt_id}


def _check_words(train: Recorded, setting: str, others: str) -> None:
    """Refuse digits where the policy can't have learned their words."""
    if missing := set(WORDS) - {word for text in train.texts for word in text.split()}:
        raise DataError(
            f"{setting} is digits, but train has no recording of {', '.join(sorted(missing))}; set it to {others}"
        )
