"""Pairs of an iteration's samples for a listening test, rendered as for the judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from model.voice import Voice
from tasks.common.voices import Voices
from tasks.prefer.votes.ballots import GOLDEN, Recordings, token_digest, tokens_of
from tasks.prefer.votes.design import Pair, Take

Row = dict[str, Any]


Render = Callable[[str, Sequence[int] | None], np.ndarray]


def draw_pairs(
    samples: Sequence[Row],
    golden: Recordings,
    with_golden: bool,
    rng: np.random.Generator,
    render: Render,
    with_reference: bool = False,
) -> list[Pair]:
    """Pair two samples of each text, or a sample and the golden side, in random order.

    Sides without sound and two equal sides are left out: there is nothing to vote on.

    Args:
        render: as :func:`renderer` gives it. with_reference: raters get the voice prompt too.
    """
    drawn: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        if len(sample["tokens"]):
            drawn[sample["id"]].append(index)
    ids = sorted(drawn)
    pairs: list[Pair] = []
    for place in rng.permutation(len(ids)).tolist():
        id_, pool = ids[place], drawn[ids[place]]
        if with_golden and id_ not in golden:
            continue
        if with_golden:
            pool = [GOLDEN, pool[int(rng.integers(len(pool)))]]
        if len(pool) < 2:
            continue
        a, b = (pool[i] for i in rng.permutation(len(pool)).tolist()[:2])
        if tokens_of(samples, golden, id_, a) == tokens_of(samples, golden, id_, b):
            continue
        sampled = samples[max(a, b)]
        first, second = (_take(samples, golden, id_, key, sampled["prompt_id"], render) for key in (a, b))
        reference = partial(render, sampled["prompt_id"], None) if with_reference else None
        pairs.append(Pair(id_, sampled["text"], first, second, reference))
    return pairs


def _take(samples: Sequence[Row], golden: Recordings, id_: str, key: int, prompt_id: str, render: Render) -> Take:
    tokens = tokens_of(samples, golden, id_, key)
    is_golden = key == GOLDEN
    details = {
        # In base 16: a spreadsheet would round these 19 digits.
        "seed": "" if is_golden else hex(samples[key]["seed"]),
        "tokens": token_digest(tokens),
    }
    system, label = ("golden", "golden") if is_golden else ("sample", str(samples[key]["draw"]))
    return Take(system, label, partial(render, prompt_id, tokens), details)


def renderer(voice: Voice, voices: Voices) -> Render:
    """Return a function that gives samples ``(m,)`` of tokens with a voice prompt, or of the prompt itself.

    Golden tokens pass through the same NAR with the same prompt as samples: only what the policy writes differs.
    """

    def render(prompt_id: str, tokens: Sequence[int] | None) -> np.ndarray:
        prompt = voices.prompt_of(prompt_id)
        if tokens is None:
            [own] = voice.codec.decode([torch.from_numpy(prompt.speech.rows)], voices=[prompt.speech.globals])
            return np.asarray(own, float)
        _, [wave] = voice.render([tokens], [prompt], 1)
        return np.asarray(wave, float)

    return render
