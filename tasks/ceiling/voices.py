"""Between which similarities a cloned voice lies: two different speakers' golden speech, and one speaker's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.judges.panel import Panel
from model.judges.waves import cosine
from model.statistics import Interval, bootstrap_interval
from tasks.common.evaluation import EvaluationSet
from tasks.common.params import Params
from tasks.common.scores import levels, speaker_kinds

Bounds = dict[str, Interval]  # floor and ceiling


def bounds(
    test: EvaluationSet, golden: Sequence[np.ndarray], panel: Panel, sample_rate: int, params: Params
) -> dict[str, Bounds]:
    """Return the bounds of seen and of unseen speakers, where there are any.

    The ceiling compares golden speech with the voice prompt of its text, which is by the same speaker. The floor
    compares it with every prompt by another speaker. With one speaker there is no floor, and no bounds are returned.

    Args:
        golden: waveforms of the set's utterances, in its order.
    """
    spoken, prompts = panel.embed(golden, sample_rate), test.voices(panel, sample_rate)
    speakers = np.array([row["speaker"] for row in test.rows])
    place = {row["id"]: i for i, row in enumerate(test.rows)}
    found = {}
    for kind, rows in speaker_kinds(test.rows).items():
        own = [place[row["id"]] for row in rows]
        if kind == "all" or not own or (speakers == speakers[0]).all():
            continue
        same = cosine(spoken[own], prompts[own])
        others = [(prompts[speakers != speakers[i]] @ spoken[i]).mean() for i in own]
        of_speaker, of_text = levels(rows)
        found[kind] = {
            end: bootstrap_interval(
                values, None, params.evaluate.bootstrap_samples, params.seed, speakers=of_speaker, texts=of_text
            )
            for end, values in (("floor", others), ("ceiling", same))
        }
    return found
