"""Scores of the study's policies, all seeds together.

Each arm's last iteration is compared with the policy it started from and with another arm, at each one's own best
decoding and at the loop's. Differences are paired on seed, utterance, prompt and draw. The intervals resample
speakers; a text's draws on every seed stay together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.arms import LOOP, Arm, Study
from tasks.common import schemas
from tasks.common.files import read_json, read_table
from tasks.common.scores import SETS, compare, rows_at, shared_draws, speaker_kinds, summarize, to_json

Rows = list[dict[str, Any]]
Entry = dict[str, Any]  # see Results.entry


@dataclass(frozen=True)
class Results:
    """What the study's arms have kept; the intervals are of ``resamples`` resamples."""

    study: Study
    resamples: int
    seed: int

    def entries(self) -> list[Entry]:
        """Return every policy that has results: of the loop each iteration, of another arm the last one."""
        arms = self.study.by_name.items()
        shown = [(name, k) for name, arm in arms for k in (range(arm.last + 1) if name == LOOP else [arm.last])]
        return [entry for name, k in shown if (entry := self.entry(name, k))]

    def entry(self, name: str, iteration: int) -> Entry | None:
        """Return what is known of one policy; None if no seed has finished.

        Returns:
            its arm, title, group, iteration, seeds, decodings by seed, title of the arm it is compared with, and by
            set of texts: numbers of texts and samples, the scores of all, seen and unseen speakers, the paired
            differences ``versus_start`` and ``versus`` (that arm), of ``each_seed`` the WER's difference to the start,
            and ``loop``, scores and differences at the loop's decoding.
        """
        arm = self.study.by_name[name]
        seeds = self.finished(name, iteration)
        if not seeds:
            return None
        other = self._compared_with(arm, iteration, seeds)
        entry: Entry = {
            "arm": name,
            "title": _title(arm, iteration),
            "group": arm.group,
            "iteration": iteration,
            "seeds": seeds,
            "decoding": {
                str(s): read_json(self._folder(name, s, iteration) / "metrics.json", dict)["decoding"] for s in seeds
            },
            "against": _title(self.study.by_name[other[0]], other[1]) if other else None,
            "sets": {},
        }
        for which in SETS:
            if not (rows := self.rows(name, iteration, seeds, which)):
                continue
            kinds = {kind: part for kind, part in speaker_kinds(rows).items() if part}
            scores: dict[str, Any] = {
                "texts": len({row["id"] for row in rows}),
                "samples": len(rows),
                **{kind: to_json(summarize(part, self.resamples, self.seed)) for kind, part in kinds.items()},
                "loop": {
                    "all": to_json(summarize(self.rows(name, iteration, seeds, which, "loop"), self.resamples, 0))
                },
            }
            entry["sets"][which] = scores
            start = (name, 0, seeds) if iteration else None
            for part, decoding in ((scores, "best"), (scores["loop"], "loop")):
                for difference, system in (("versus_start", start), ("versus", other)):
                    if system:
                        part[difference] = self._difference(system, name, iteration, which, decoding)
            if start:
                each = {s: self._difference((name, 0, [s]), name, iteration, which, "best")["wer"] for s in seeds}
                scores["each_seed"] = {str(s): change for s, change in each.items()}
        return entry

    def finished(self, name: str, iteration: int) -> list[int]:
        """Return the seeds on which an arm has results of this iteration."""
        files = {seed: self._folder(name, seed, iteration) / "metrics.json" for seed in self.study.seeds_of(name)}
        return [seed for seed, file in files.items() if file.is_file()]

    def rows(self, name: str, iteration: int, seeds: Iterable[int], which: str, decoding: str = "best") -> Rows:
        """Return the judged test utterances of one set, of the loop where the arm has no such iteration of its own.

        An utterance's id becomes its speaker and text: one name in the corpora of two seeds is two texts, and one text
        is one.
        """
        while iteration < self.study.by_name[name].first:
            name = self.study.by_name[name].after
        rows: Rows = []
        for seed in seeds:
            judged = read_table(self._folder(name, seed, iteration) / "utterances.parquet", schemas.UTTERANCES)
            for row in rows_at(judged, decoding, which):
                rows.append(
                    {
                        **row,
                        "id": f"{row['speaker']}: {row['text']}",
                        "prompt_id": f"{seed}/{row['id']}/{row['prompt_id']}",
                    }
                )
        return rows

    def _compared_with(self, arm: Arm, iteration: int, seeds: list[int]) -> tuple[str, int, list[int]] | None:
        """Return the other arm, its iteration, and the seeds that both have; None if there is nothing to compare."""
        if not iteration or arm.against is None:
            return None
        after = iteration if arm.against == LOOP else self.study.by_name[arm.against].last
        both = [seed for seed in seeds if seed in self.finished(arm.against, after)]
        return (arm.against, after, both) if both else None

    def _difference(
        self, other: tuple[str, int, list[int]], name: str, iteration: int, which: str, decoding: str
    ) -> dict[str, Any]:
        before = self.rows(other[0], other[1], other[2], which, decoding)
        after = self.rows(name, iteration, other[2], which, decoding)
        return to_json(compare(*shared_draws(before, after), self.resamples, self.seed))

    def _folder(self, name: str, seed: int, iteration: int) -> Path:
        return self.study.results(name, seed) / str(iteration)


def _title(arm: Arm, iteration: int) -> str:
    if arm.shares != "nothing":
        return arm.title
    return "start" if iteration == 0 else f"{arm.title}, iteration {iteration}"
