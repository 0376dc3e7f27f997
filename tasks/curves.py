"""Training curves as CSV: what the report draws and MLflow shows."""

from __future__ import annotations

import csv
from pathlib import Path

from tasks.files import whole


class Curve:
    """Collects means of metrics over every ``every`` steps; all rows have the columns of the first."""

    def __init__(self, every: int = 10):
        self.every = every
        self.rows: list[dict[str, float]] = []
        self._pending: list[dict[str, float]] = []

    def add(self, step: int, metrics: dict[str, float]) -> dict[str, float] | None:
        """Take one step's metrics; returns the new row when one is complete."""
        self._pending.append(metrics)
        if step % self.every:
            return None
        row = {name: sum(m[name] for m in self._pending) / len(self._pending) for name in metrics}
        self._pending = []
        self.rows.append({"step": step, **row})
        return row

    def write(self, path: Path) -> None:
        with whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
            if self.rows:
                writer = csv.DictWriter(handle, fieldnames=list(self.rows[0]))
                writer.writeheader()
                writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.rows)


def read(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8") as handle:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
