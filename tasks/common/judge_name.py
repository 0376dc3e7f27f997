"""The names by which tables and model versions say who judged."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from tasks.common import digests, paths
from tasks.common.params import Params

VOICE_JUDGE = f"resemblyzer@{version('resemblyzer')}"  # its weights come with the package


def judge_name(recognizer: str) -> str:
    """Recogniser's name and, for a local checkpoint, the digest of its weights: ``checkpoints/whisper@1f2e…``."""
    weights = Path(recognizer) / "model.safetensors"
    if not weights.is_file():
        return recognizer
    return f"{recognizer}@{hashlib.md5(weights.read_bytes()).hexdigest()[:12]}"


def held_out_name(params: Params) -> str:
    """The judges that choose no pairs; the measure of voice with the digest of the speech that it is fitted to."""
    names = [judge_name(params.models.held_out_recognizer)] if params.models.held_out_recognizer else []
    if measure := params.models.held_out_speaker:
        fitted_to = paths.codes("train")
        names.append(f"{measure}@{digests.md5(fitted_to)[:12]}" if fitted_to.is_file() else measure)
    return ", ".join(names) or "none"
