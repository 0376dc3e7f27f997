"""Stage ``nar_synthetic``: the paper's third NAR, trained on synthetic tokens. ``python -m tasks.nar.synthetic``

Table 1 of SpeechAlign (arXiv 2404.05600) asks whether a NAR that has learnt from synthetic tokens copes with them. It
takes minutes, so it is off by default; the stage then notes that.
"""

from __future__ import annotations

import typer

from tasks.common import paths
from tasks.common.files import atomic_path, write_json
from tasks.common.params import load
from tasks.common.stage import stage


@stage
def main() -> None:
    """Train a NAR on synthetic level-1 tokens and judge it, if gap.train_synthetic_nar says so."""
    if load().gap.train_synthetic_nar:
        from tasks.nar.third import train_and_judge  # seconds of imports, which the default need not wait for

        train_and_judge()
        return
    with atomic_path(paths.SYNTHETIC_NAR) as folder:
        folder.mkdir()
        write_json(folder / "result.json", {"why": "gap.train_synthetic_nar is off"})
    print("nar_synthetic: off (gap.train_synthetic_nar)")


if __name__ == "__main__":
    typer.run(main)
