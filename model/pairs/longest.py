"""A control: the longest sample against the shortest. No judge is asked.

Where a policy skips words, longer samples have more of them. So this separates judging from a mere wish for length.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.candidate import Candidate, Preference


def prefer(samples: Sequence[Candidate]) -> Preference | None:
    """Return the longest of the samples that ended by themselves, and the shortest; None if all are equally long."""
    ended = [s for s in samples if s.finished and s.n_frames > 0]
    if not ended:
        return None
    if len({s.n_frames for s in ended}) < 2:
        return None
    chosen, rejected = (pick(ended, key=lambda s: (s.n_frames, s.key)) for pick in (max, min))
    return Preference(chosen, rejected, f"{chosen.n_frames} against {rejected.n_frames} frames")
