"""Where the page's numbers were computed: one column per environment."""

from __future__ import annotations

from tasks.report.load import Inputs
from tasks.report.results import title


def environments(inputs: Inputs) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return headings, which name the systems judged in one environment, and rows of a property and its values."""
    found = [(title(run), run.judged.environment) for run in inputs.runs if run.judged]
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
