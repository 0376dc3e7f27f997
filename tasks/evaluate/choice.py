"""The decoding at which a policy errs least, chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from model.drawing import Decoding
from tasks.common.decoding import decoding_of
from tasks.common.engine import Workers
from tasks.common.evaluation import EvaluationSet, decoding_columns
from tasks.common.params import Params
from tasks.common.policy_evaluation import Studio, count_errors
from tasks.common.scores import SETS

Tried = dict[str, Any]  # temperature, top_k, top_p, and the WER of each set


def candidates(params: Params) -> list[Decoding]:
    """Return the loop's decoding at every combination of the temperatures, top-k and top-p to choose from."""
    settings, loop = params.evaluate, decoding_of(params)
    return [
        replace(loop, temperature=temperature, top_k=top_k, top_p=top_p)
        for temperature, top_k, top_p in product(settings.temperatures, settings.top_k, settings.top_p)
    ]


def choose(workers: Workers[Studio], dev: EvaluationSet, params: Params, title: str) -> tuple[Decoding, list[Tried]]:
    """Return the best decoding, and what was tried: one draw of each dev text at each candidate.

    A set's WER is micro-averaged, and the sets weigh alike. Of decodings that err equally the one that restricts
    sampling least is best: the hotter, then the higher top-p, then the higher top-k.
    """
    tried = []
    for decoding in candidates(params):
        at = f"{title} at {decoding.temperature:g}"
        errors = count_errors(workers, dev, decoding, params, at)
        tried.append({**decoding_columns(decoding), **_rates(dev, errors)})
    return best(candidates(params), tried), tried


def best(decodings: Sequence[Decoding], tried: Sequence[Tried]) -> Decoding:
    """Return the decoding of the lowest mean WER over the sets."""

    def rank(index: int) -> tuple[float, ...]:
        decoding, rates = decodings[index], [tried[index][name] for name in SETS if name in tried[index]]
        return (float(np.mean(rates)), -decoding.temperature, -decoding.top_p, -(decoding.top_k or np.inf))

    return decodings[min(range(len(decodings)), key=rank)]


def _rates(dev: EvaluationSet, errors: Sequence[Any]) -> dict[str, float]:
    rates = {}
    for name in SETS:
        own = [found for row, found in zip(dev.rows, errors, strict=True) if row["set"] == name]
        if own:
            rates[name] = sum(found.errors for found in own) / max(1, sum(found.n_reference for found in own))
    return rates
