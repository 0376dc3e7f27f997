"""Training curves as CSV, which MLflow shows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from tasks.common.files import atomic_path


class Curve:
    """Collects means of metrics over every ``every`` steps; all rows have the columns of the first.

    It is kept with the training's state (:func:`model.training.fit`), so that a resumed run has all of its curve.
    """

    def __init__(self, every: int = 10):
        self.every = every
        self.rows: list[dict[str, float]] = []
        self._pending: list[dict[str, float]] = []
        self._taken = 0

    def add(self, step: int, metrics: dict[str, float]) -> None:
        """Take one step's metrics."""
        self._pending.append(metrics)
        if step % self.every:
            return
        row = {name: sum(m[name] for m in self._pending) / len(self._pending) for name in metrics}
        self._pending = []
        self.rows.append({"step": step, **row})

    def fresh(self) -> list[dict[str, float]]:
        """The rows that were not asked for before; after resuming, those from before the interruption, too."""
        rows, self._taken = self.rows[self._taken :], len(self.rows)
        return rows

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "pending": self._pending}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._pending, self._taken = state["rows"], state["pending"], 0

    def write(self, path: Path) -> None:
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(self.rows[0]) if self.rows else ["step"])
            writer.writeheader()
            writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.rows)


def read(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8") as handle:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
