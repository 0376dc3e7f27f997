"""Where the page's numbers were computed, and by what."""

from __future__ import annotations

import platform
from importlib import metadata

from tasks.report.load import Inputs

PACKAGES = ("torch", "transformers", "encodec", "openai-whisper", "resemblyzer", "accelerate", "lhotse", "jiwer", "dvc")


def environments(inputs: Inputs) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return headings, which name the systems judged in one environment, and rows of a property and its values."""
    found = [(run.title, run.content.get("environment")) for run in inputs.runs]
    found.append(("golden speech", inputs.ceiling.environment))
    named = [(name, environment) for name, environment in found if environment]
    different: list[dict[str, object]] = []
    for _, environment in named:
        if environment not in different:
            different.append(environment)
    headings = [", ".join(name for name, own in named if own == environment) for environment in different]
    keys = dict.fromkeys(key for environment in different for key in environment)
    return headings, [
        (key.replace("_", " "), [str(environment.get(key, "–")) for environment in different]) for key in keys
    ]


def versions() -> list[tuple[str, str]]:
    """Python and the packages that the numbers depend on, as installed where the page is made."""
    return [("python", platform.python_version()), *((package, metadata.version(package)) for package in PACKAGES)]


def seeds(inputs: Inputs) -> list[tuple[str, str]]:
    """The loop's seed and, where a policy was evaluated, those of its samples."""
    test = {row["seed"] for run in inputs.runs for row in run.utterances}
    own = "one per text and draw, from the loop's seed and the id" if len(test) > 1 else str(*test)
    return [("of the whole loop", str(inputs.params.seed)), *([("of the test samples", own)] if test else [])]


def judges(inputs: Inputs) -> list[tuple[str, str]]:
    """Digests in the pairs: of the judge and of the checkpoint that was sampled."""
    return [
        (f"iteration {run.name}, {name}", digest)
        for run in inputs.runs
        for column, name in (("judge", "judge"), ("policy", "sampled policy"))
        for digest in sorted({str(pair[column]) for pair in run.new_pairs})
    ]
