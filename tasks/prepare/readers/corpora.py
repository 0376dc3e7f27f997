"""``prepare.corpus`` → the function that reads it."""

from __future__ import annotations

from tasks.prepare.readers import folder, fsdd, published, synthetic

READERS = {
    "synthetic": synthetic.read,
    "librispeech": published.librispeech,
    "libritts": published.libritts,
    "vctk": published.vctk,
    "ljspeech": published.ljspeech,
    "fsdd": fsdd.read,
    "folder": folder.read,
}
