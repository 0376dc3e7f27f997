"""Write a listening test: sounds, a page for raters, a sheet to fill in by hand, and the key."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from tasks.common.files import DataError, atomic_path
from tasks.prefer.votes import key as keys
from tasks.prefer.votes import sounds
from tasks.prefer.votes.cells import marked
from tasks.prefer.votes.design import Pair, Take
from tasks.prefer.votes.key import PAGE, SHEET, Key, Side, Trial

FOLDER = Path(__file__).parent
LARGEST_PAGE = 150_000_000  # bytes of sounds in one page: more cannot be sent, nor opened on a phone
# Columns of what raters send back. They name no system.
COLUMNS = "test trial choice flipped rater quality_a quality_b similarity_a similarity_b seconds".split()
# Absolute category rating of ITU-T P.808 and P.800; likeness in five steps too.
WORDS = {
    "quality": ["bad", "poor", "fair", "good", "excellent"],
    "similarity": ["not at all", "slightly", "moderately", "very", "extremely"],
}
IGNORE = "*.flac\nvote.html\ntoken\n.*.lock\n.*.tmp\n"  # large, repeatable or secret: only key and votes must be kept


def write(out: Path, pairs: Sequence[Pair], rate: int, **about: object) -> Key:
    """Render both sides of each pair and write the folder of a listening test.

    Args:
        pairs: as :func:`design.arrange` gives them. rate: sample rate of all waves in Hz.
        about: fields of :class:`Key` that are not the trials.

    Raises:
        DataError: ``out`` exists (it may hold somebody's votes).
    """
    if out.exists():
        raise DataError(f"{out} exists and may hold votes; name another folder with --out, or move it away")
    with atomic_path(out) as folder:
        folder.mkdir()
        (folder / ".gitignore").write_text(IGNORE, encoding="utf-8")
        trials = [_trial(folder, f"{number:03d}", pair, rate) for number, pair in enumerate(pairs, 1)]
        made = Key.model_validate({"test": keys.digest_of(trials, folder), "trials": trials, **about})
        keys.write(folder, made)
        if sum((folder / name).stat().st_size for name in made.sounds) <= LARGEST_PAGE:
            (folder / PAGE).write_text(page(made, folder), encoding="utf-8")
        _write_sheet(folder / SHEET, made)
    return made


def _trial(folder: Path, number: str, pair: Pair, rate: int) -> Trial:
    """Write the sounds of one trial, at one loudness."""
    takes = (pair.a, pair.b)
    waves = [np.asarray(take.wave(), float) for take in takes]
    if pair.reference:
        waves.append(np.asarray(pair.reference(), float))
    rng = np.random.default_rng([int(number)])
    for side, take in enumerate(takes):
        if take.degraded:
            waves[side] = sounds.degraded(waves[side], rate, rng)
    files = [f"{number}-{letter}.flac" for letter in "ABR"[: len(waves)]]
    for file, wave in zip(files, sounds.leveled(waves, rate), strict=True):
        sounds.write(folder / file, wave, rate)
    reference = files[2] if pair.reference else None
    a, b = (_side(file, take) for file, take in zip(files, takes, strict=False))
    return Trial(trial=number, role=pair.role, id=pair.id, text=pair.text, a=a, b=b, reference=reference)


def _side(file: str, take: Take) -> Side:
    return Side(sound=file, system=take.system, label=take.label, details=take.details, degraded=take.degraded)


def _write_sheet(file: Path, key: Key) -> None:
    """Write the sheet for raters who cannot use the page: they play the files, and fill in choice and rater."""
    rated = [name for name in COLUMNS if name.partition("_")[0] in key.scales]
    with file.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(
            handle, ["test", "trial", "choice", "rater", *rated, "text"], restval="", lineterminator="\n"
        )
        table.writeheader()
        for trial in key.trials:
            table.writerow(marked({"test": key.test, "trial": trial.trial, "text": trial.text}))


def page(key: Key, folder: Path | None = None) -> str:
    """Return the page for raters; it names no system and no check.

    Args:
        folder: where the sounds lie: they become part of the page, which then needs nothing else. None: the page asks
            the server that it comes from for trials and sounds, and gives it the votes.
    """
    content: dict[str, object] = {"test": key.test, "scales": key.scales, "columns": COLUMNS, "trials": None}
    if folder is not None:
        content["trials"] = [
            shown(trial) | {"sounds": {letter: _embedded(folder / file) for letter, file in trial.sounds.items()}}
            for trial in key.trials
        ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    script = (FOLDER / "vote.js").read_text(encoding="utf-8")
    return environment.get_template("vote.html.j2").render(
        n=len(key.trials),
        scales=key.scales,
        words=WORDS,
        served=folder is None,
        practice=sum(trial.role == "warm-up" for trial in key.trials),
        style=Markup((FOLDER / "vote.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # Only this one script may run, even if other content should get into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(json.dumps(content).replace("<", "\\u003c").replace("&", "\\u0026")),
    )


def shown(trial: Trial) -> dict[str, object]:
    """Return what a rater may know of a trial."""
    return {"trial": trial.trial, "practice": trial.role == "warm-up", "text": trial.text, "sounds": trial.sounds}


def _embedded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")
