"""The name by which tables say who judged."""

from __future__ import annotations

import hashlib
from pathlib import Path


def judge_name(recognizer: str) -> str:
    """Recogniser's name and, for a local checkpoint, the digest of its weights: ``checkpoints/whisper@1f2e…``."""
    weights = Path(recognizer) / "model.safetensors"
    if not weights.is_file():
        return recognizer
    return f"{recognizer}@{hashlib.md5(weights.read_bytes()).hexdigest()[:12]}"
