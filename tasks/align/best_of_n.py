"""Best-of-N: the policy's weights stay as they are; a reward model chooses among its samples."""

from __future__ import annotations

from pathlib import Path

from model import reward as reward_lib
from tasks.align.method import Job
from tasks.align.reward import RewardTraining


class BestOfN(RewardTraining):
    """From now on the policy samples ``align.best_of_n.n`` times, and the reward model keeps one."""

    def __init__(self, job: Job):
        super().__init__(job)
        job.ar.config.best_of_n = self.align.best_of_n.n

    def finish(self, folder: Path) -> None:
        """Save the reward model inside the policy's folder."""
        reward_lib.save(self.model, folder / reward_lib.FOLDER)
