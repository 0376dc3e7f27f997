"""Corpus readers by their name in ``params.yaml``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tasks.common.params import Params
from tasks.prepare.items import Corpus
from tasks.prepare.readers import folder, fsdd, librispeech, libritts, ljspeech, synthetic, vctk

READERS: dict[str, Callable[[Params, Path], Corpus]] = {
    "synthetic": synthetic.read,
    "librispeech": librispeech.read,
    "libritts": libritts.read,
    "vctk": vctk.read,
    "ljspeech": ljspeech.read,
    "fsdd": fsdd.read,
    "folder": folder.read,
}
