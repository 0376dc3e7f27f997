"""Golden against synthetic: the paper's pairs (SpeechAlign, arXiv 2404.05600, section 3.2).

The golden tokens of an utterance are preferred to the policy's sample of the same text and voice. No judge is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.candidate import Candidate, Preference


def prefer(golden: Candidate, samples: Sequence[Candidate]) -> Preference | None:
    """Return the golden side against the first sample that has any frames; None if there is none."""
    usable = [s for s in samples if s.n_frames > 0]
    if not usable or golden.n_frames == 0:
        return None
    return Preference(golden, usable[0], "golden over synthetic")
