"""Settings that a frame-parallel policy cannot be aligned with, told from its ``config.json``. No torch."""

from __future__ import annotations

from pathlib import Path

from model.errors import InputError
from model.frames.families import family_of, model_type
from tasks.common.params import Params

REWARDED = ("ppo", "best_of_n")  # methods that train a reward model


def check_settings(policy: Path, params: Params) -> None:
    """Refuse settings that need a policy of one token stream, before anything is computed.

    Args:
        policy: its folder; one of another kind, or none, is not looked at further.

    Raises:
        InputError: with the setting to change. CheckpointError: a damaged ``config.json``.
    """
    kind, align = model_type(policy), params.align
    if family_of(kind) is None:
        return
    found = f"the policy in {policy} is a {kind}, which writes whole frames of several codes"
    if align.method in REWARDED:
        raise InputError(
            f"{found}, but align.method {align.method} trains a reward model, which reads one token stream; take "
            "another method, such as dpo or grpo"
        )
    if align.parameters not in ("all", "lora"):
        raise InputError(f"{found}; set align.parameters to all or lora, found {align.parameters}")
    if params.sample.engine != "own":
        raise InputError(
            f"{found}, but sample.engine names a vLLM server, which draws one token at a time; set it to own"
        )
