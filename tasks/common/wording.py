"""Words for tables: how a policy is called, and how it was sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMITS = {"top_k": ("top-k", 0), "top_p": ("top-p", 1)}  # name, and the value that lets every code through


def policy_text(iteration: str) -> str:
    """Return the title of a policy: ``start``, ``iteration 1``."""
    return "start" if iteration == "0" else f"iteration {iteration}"


def decoding_text(decoding: Mapping[str, Any]) -> str:
    """Return a decoding of metrics.json: ``T 0.5, top-k 20``. A limit that is off is left out."""
    limits = [f"{title} {decoding[name]:g}" for name, (title, off) in LIMITS.items() if decoding.get(name, off) != off]
    return ", ".join([f"T {decoding['temperature']:g}", *limits])
