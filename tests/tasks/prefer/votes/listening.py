"""Two systems' folders as people have them, a listening test of them, and raters who answer it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from typer.testing import CliRunner

from tasks.prefer.votes import key as keys
from tasks.prefer.votes import store
from tasks.prefer.votes.__main__ import app, compare
from tasks.prefer.votes.key import Key, Trial

RATE = 8000
HERE = "http://127.0.0.1:8040"
SECRET, OTHER = "0" * 32, "1" * 32


def systems(folder: Path, texts: int = 6, seconds: float = 0.3) -> None:
    """Write ``before/``, ``after/``, ``prompts/`` and ``texts.csv``; ``after`` is twice as loud, at another rate."""
    rng = np.random.default_rng(0)
    for name, rate, loudness in (("before", RATE, 0.1), ("after", 2 * RATE, 0.2), ("prompts", RATE, 0.1)):
        (folder / name).mkdir(parents=True)
        for number in range(texts):
            time = np.arange(int(seconds * rate)) / rate
            wave = loudness * np.sin(2 * np.pi * rng.uniform(150, 400) * time)
            soundfile.write(folder / name / f"t{number}.wav", wave, rate)
    lines = [f't{number},"Words of text {number}, and more"\n' for number in range(texts)]
    (folder / "texts.csv").write_text("id,text\n" + "".join(lines), encoding="utf-8")


def written(folder: Path, texts: int = 6, seconds: float = 0.3, **options: Any) -> tuple[Path, Key]:
    """Write two systems and a listening test of them."""
    if not (folder / "before").is_dir():
        systems(folder, texts, seconds)
    out = folder / "listening"
    arguments = {"texts": str(folder / "texts.csv"), "out": out} | options
    compare(str(folder / "before"), str(folder / "after"), **arguments)
    return out, keys.read(out)


def answer(trial: Trial, rng: random.Random, for_after: float = 0.7, careful: bool = True) -> str:
    """What a rater chooses, as a side of the key."""
    if not careful:
        return rng.choice(["A", "B", "tie"])
    if trial.right:
        return trial.right
    after = "A" if trial.a.system == "after" else "B"
    return after if rng.random() < for_after else {"A": "B", "B": "A"}[after]


def sheet(path: Path, key: Key, rater: str, choose: Any, **columns: str) -> Path:
    """A sheet as the page saves it; ``choose`` gets a trial."""
    header = ["test", "trial", "choice", "flipped", "rater", *columns]
    lines = [
        ",".join([key.test, trial.trial, choose(trial), "0", rater, *columns.values()])
        for trial in key.trials
        if choose(trial)
    ]
    path.write_text("\n".join([",".join(header), *lines]) + "\n", encoding="utf-8")
    return path


def votes_on_disk(folder: Path) -> list[dict[str, Any]]:
    """The lines of votes that the server wrote."""
    lines = [json.loads(line) for line in (folder / store.NAME).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == "vote"]


def run(*arguments: Any) -> Any:
    """Run ``speechalign votes`` with arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def overwrite(name: str, content: bytes) -> Any:
    """Return a function that damages a file of a folder."""
    return lambda folder: (folder / name).write_bytes(content)


def begin(client, rater="Anna", key=SECRET, **options):
    return client.post("/api/begin", json={"rater": rater, "key": key}, **options)


def ballot(trial="003", **changes):
    vote = {
        "rater": "Anna",
        "key": SECRET,
        "trial": trial,
        "choice": "A",
        "flipped": False,
        "seconds": 2.5,
        "revision": 1,
    }
    return vote | changes


def vote(client, trial="003", **changes):
    return client.post("/api/vote", json=ballot(trial, **changes))
