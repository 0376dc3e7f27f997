"""Path of every output: the file layout of ``dvc.yaml`` in Python.

Relative to the repository's top folder, which is every stage's working directory.
"""

from __future__ import annotations

import re
from pathlib import Path

from model.errors import InputError

DATA = Path("data")
AUDIO = DATA / "audio"  # {split}/{speaker}.flac: utterances of one speaker end to end, mono, at the codec's rate
CUTS = DATA / "cuts"
REJECTED = DATA / "rejected.jsonl"
CODES = DATA / "codes"
TEXTS = DATA / "texts"
CEILING = Path("runs/ceiling")  # golden and resynthesized golden speech, judged like the policies
REPORT = Path("reports/index.html")
REGISTRATION = Path("reports/registration.json")
STATE = Path("runs/.state")  # training checkpoints for resuming: outside every stage's outs, which DVC deletes

SPLITS = ("train", "dev", "test")
# Some disks take the ends of other names away, or don't tell capitals from small letters.
NAME = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


def check_name(name: str) -> str:
    """Return the name of an iteration, which is a folder below ``runs/``.

    Raises:
        InputError: it could not be one.
    """
    if not NAME.fullmatch(name) or name.lower() == CEILING.name:
        raise InputError(
            f"{name!r} can't name an iteration: its folder lies below runs/, so use up to 64 letters a-z and digits"
            + (f", but not {CEILING.name!r}, which holds other speech" if name.lower() == CEILING.name else "")
        )
    return name


def cuts(split: str) -> Path:
    return CUTS / f"{split}.jsonl.gz"


def codes(split: str) -> Path:
    return CODES / f"{split}.parquet"


def texts(split: str) -> Path:
    """Texts without a recording: of train the pool that ``sample@k`` draws from, of dev and test the long set."""
    return TEXTS / f"{split}.parquet"


def run(iteration: str) -> Path:
    """Folder of one iteration; "0" is the start policy.

    Raises:
        InputError: as :func:`check_name`.
    """
    return Path("runs") / check_name(iteration)


def ar(iteration: str) -> Path:
    """The AR, a Hugging Face causal-LM folder."""
    return run(iteration) / "policy"


NAR = run("0") / "nar"
SYNTHETIC_NAR = run("0") / "nar_synthetic"  # a second NAR, trained on synthetic tokens: result.json, weights if trained


def curve(iteration: str) -> Path:
    """Training curve of the iteration's AR: CSV of step and metrics; without rows for a policy that was adopted."""
    return run(iteration) / "curve.csv"


def origin() -> Path:
    """Where the AR of iteration 0 came from, as JSON (tasks/common/origin.py)."""
    return run("0") / "origin.json"


def nar_origin() -> Path:
    """Where the NAR came from, as JSON."""
    return run("0") / "nar_origin.json"


def tracking(iteration: str) -> Path:
    """Ids of the MLflow runs of this iteration, as JSON."""
    return run(iteration) / "mlflow.json"


def samples(iteration: str) -> Path:
    return run(iteration) / "samples.parquet"


def judgements(iteration: str) -> Path:
    """The judges' results for each of the iteration's samples."""
    return run(iteration) / "judgements.parquet"


def pairs(iteration: str) -> Path:
    return run(iteration) / "pairs.parquet"


def metrics(iteration: str) -> Path:
    return run(iteration) / "metrics.json"


def utterances(iteration: str) -> Path:
    """Judgements of each test utterance, as parquet."""
    return run(iteration) / "utterances.parquet"


def dev(iteration: str) -> Path:
    """Judgements of each dev utterance at the policy's best decoding, as parquet."""
    return run(iteration) / "dev.parquet"


def test_samples(iteration: str) -> Path:
    """Level-1 tokens that the policy sampled for each test utterance."""
    return run(iteration) / "test_samples.parquet"


def gap(iteration: str) -> Path:
    """Distances between golden and synthetic level-1 tokens, as JSON."""
    return run(iteration) / "gap.json"


def gap_points(iteration: str) -> Path:
    """Golden and synthetic points of the utterances in the plane (t-SNE), as parquet."""
    return run(iteration) / "gap.parquet"


def gap_codes(iteration: str) -> Path:
    """How often golden and synthetic tokens are each level-1 code, as CSV."""
    return run(iteration) / "gap_codes.csv"


def audio(iteration: str) -> Path:
    """A few test utterances as FLAC."""
    return run(iteration) / "audio"
