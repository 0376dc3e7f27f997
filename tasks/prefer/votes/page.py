"""Blind listening test of one iteration's samples: sounds, a sheet of votes, and a page that fills it in."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile
import torch
from markupsafe import Markup

from model.voice import Voice
from tasks.common.files import DataError, atomic_path
from tasks.common.params import Params
from tasks.prefer.votes.ballots import GOLDEN, token_digest, tokens_of

Row = dict[str, Any]
FOLDER = Path(__file__).parent
COLUMNS = "id A B choice rater iteration policy a_seed b_seed a_tokens b_tokens sounds text".split()
# Large and repeatable files stay out of git; only a filled-in sheet must be kept.
IGNORE = "*.flac\nvote.html\n"


@dataclass(frozen=True)
class Trial:
    """Two sounds to compare, as positions among the samples (GOLDEN: the utterance itself); ``a`` is played as A."""

    id: str
    a: int
    b: int


def draw_trials(samples: list[Row], rows: Mapping[str, Row], n: int, with_golden: bool, seed: list[int]) -> list[Trial]:
    """Draw at most ``n`` texts, each with two samples or a sample and the golden side; every order is random.

    Sides without sound and two equal sides are left out: there is nothing to vote on.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        if len(sample["tokens"]):
            drawn[sample["id"]].append(index)
    ids = sorted(drawn)
    trials: list[Trial] = []
    for place in rng.permutation(len(ids)).tolist():
        pool = drawn[ids[place]]
        if with_golden and ids[place] not in rows:
            continue
        if with_golden:
            pool = [GOLDEN, pool[int(rng.integers(len(pool)))]]
        if len(pool) < 2:
            continue
        a, b = (pool[i] for i in rng.permutation(len(pool)).tolist()[:2])
        if tokens_of(samples, rows, ids[place], a) != tokens_of(samples, rows, ids[place], b):
            trials.append(Trial(ids[place], a, b))
    return trials[:n]


def write(
    out: Path,
    trials: list[Trial],
    samples: list[Row],
    rows: Mapping[str, Row],
    voice: Voice,
    params: Params,
    iteration: str,
) -> None:
    """Render both sides of each trial and write ``NNN-A.flac``, ``NNN-B.flac``, ``votes.csv`` and ``vote.html``.

    Golden level-1 tokens pass through the same NAR with the same prompt as samples, so that only level 1 differs.

    Raises:
        DataError: ``out`` exists (it may hold somebody's votes).
    """
    if out.exists():
        raise DataError(f"{out} exists and may hold votes; name another folder with --out, or move it away")
    prompts, level1 = [], []
    for trial in trials:
        voice_of = np.array(rows[samples[max(trial.a, trial.b)]["prompt_id"]]["codes"], dtype=np.int64)
        prompt = torch.from_numpy(voice_of[:, : params.prompt_frames])
        for key in (trial.a, trial.b):
            prompts.append(prompt)
            level1.append(torch.tensor(tokens_of(samples, rows, trial.id, key), dtype=torch.long))
    _, waves = voice.render(level1, prompts, params.decoding.batch_size)
    with atomic_path(out) as folder:
        folder.mkdir()
        (folder / ".gitignore").write_text(IGNORE, encoding="utf-8")
        sheet, sounds = [], []
        for number, trial in enumerate(trials, 1):
            files = [folder / f"{number:03d}-{side}.flac" for side in "AB"]
            for file, wave in zip(files, waves[2 * number - 2 : 2 * number], strict=True):
                soundfile.write(file, np.clip(wave, -1, 1), voice.sample_rate, format="FLAC")
            sheet.append(_line(trial, f"{number:03d}", iteration, samples, rows))
            sounds.append([base64.b64encode(file.read_bytes()).decode("ascii") for file in files])
        with (folder / "votes.csv").open("w", encoding="utf-8", newline="") as handle:
            table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(sheet)
        (folder / "vote.html").write_text(page(sheet, sounds, iteration), encoding="utf-8")


def _line(trial: Trial, number: str, iteration: str, samples: list[Row], rows: Mapping[str, Row]) -> dict[str, str]:
    """Return one line of the sheet, with choice and rater left open."""
    line = {
        "id": trial.id,
        "choice": "",
        "rater": "",
        "iteration": iteration,
        "policy": samples[max(trial.a, trial.b)]["policy"],
        "sounds": number,
        "text": samples[max(trial.a, trial.b)]["text"],
    }
    for side, key in (("A", trial.a), ("B", trial.b)):
        line[side] = "golden" if key == GOLDEN else str(samples[key]["draw"])
        # In base 16: a spreadsheet would round these 19 digits.
        line[f"{side.lower()}_seed"] = "" if key == GOLDEN else hex(samples[key]["seed"])
        line[f"{side.lower()}_tokens"] = token_digest(tokens_of(samples, rows, trial.id, key))
    return line


def page(sheet: list[dict[str, str]], sounds: list[list[str]], iteration: str) -> str:
    """Return one HTML file with the sounds, and a script that saves the filled-in sheet.

    Args:
        sounds: FLAC of A and B of each line in base64.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    script = (FOLDER / "vote.js").read_text(encoding="utf-8")
    trials = [{"line": line, "sounds": pair} for line, pair in zip(sheet, sounds, strict=True)]
    content = json.dumps({"columns": COLUMNS, "iteration": iteration, "trials": trials})
    return environment.get_template("vote.html.j2").render(
        n=len(sheet),
        style=Markup((FOLDER / "vote.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # Only this one script may run, even if other content should get into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(content.replace("<", "\\u003c").replace("&", "\\u0026")),
    )
