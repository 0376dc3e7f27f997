"""A method's own values, where ``params.yaml`` leaves them open (null)."""

from __future__ import annotations

from tasks.common.params import Params

BETAS = {"dpo": 0.1, "ipo": 1.0, "rpo": 0.1, "simpo": 2.0, "kto": 0.1}  # other methods have none
NLL_WEIGHTS = dict.fromkeys(BETAS, 1.0)


def beta_of(params: Params, iteration: str) -> float | None:
    """Return the beta of an iteration; None where the method has none."""
    beta = params.iteration(iteration).beta
    return BETAS.get(params.align.method) if beta is None else beta


def nll_weight_of(params: Params) -> float:
    """Return the weight of the chosen side's negative log-likelihood; 0 where the method has none."""
    weight = params.align.nll_weight
    return NLL_WEIGHTS.get(params.align.method, 0.0) if weight is None else weight
