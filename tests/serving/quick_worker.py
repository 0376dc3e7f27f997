"""A worker process that loads nothing: speaks the server's protocol, and does what its texts say.

``slow 2``: answers after two seconds. ``crash``: ends. ``refuse``, ``fail``, ``nothing``. Any other text: samples that
tell text, seed, temperature and voice. Versions from 50 on take a speaker's name, from 60 on no voice; those above 90
do not load.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any

import numpy as np

from serving import frames
from serving.voices import Voice

RATE = 8000


def told(voice: Voice) -> bytes:
    """Everything that tells one voice from another."""
    return repr((voice.audio, voice.text, voice.speaker)).encode()


def samples_of(text: str, seed: int, temperature: float | None, prompt: bytes, version: str) -> np.ndarray:
    """A tenth of a second of noise that only this request gets."""
    key = hashlib.sha256(repr((text, seed, temperature, prompt, version)).encode()).digest()
    return np.random.default_rng(list(key)).uniform(-0.5, 0.5, 800).astype(np.float32)


def main() -> None:
    version = sys.argv[1].rpartition("/")[2]
    pipe = sys.stdout.buffer
    if int(version) > 90:
        pipe.write(frames.pack({"failed": "its files are gone"}))
        return
    kind = "audio" if int(version) < 50 else "speaker" if int(version) < 60 else "none"
    pipe.write(frames.pack({"ready": True, "voice": kind}))
    pipe.flush()
    while True:
        try:
            job, prompt = frames.read(sys.stdin.buffer)
        except frames.EndedError:
            return
        word, _, rest = job["text"].partition(" ")
        head: dict[str, Any] = {"id": job["id"], "rate": RATE, "finished": True, "empty": False}
        raw = b""
        if word == "slow":
            time.sleep(float(rest.rstrip(".")))
        if word == "crash":
            os._exit(1)
        elif word in ("refuse", "fail"):
            head = {"id": job["id"], {"refuse": "refused", "fail": "failed"}[word]: "as it was told"}
        elif word == "nothing":
            head["empty"] = True
        else:
            voice = told(Voice(prompt, job["prompt_text"], job["speaker"]))
            raw = samples_of(job["text"], job["seed"], job["temperature"], voice, version).astype("<f4").tobytes()
        pipe.write(frames.pack(head, raw))
        pipe.flush()


if __name__ == "__main__":
    main()
