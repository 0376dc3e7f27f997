"""Golden against synthetic: the paper's pairs (SpeechAlign, arXiv 2404.05600, section 3.2).

The golden tokens of an utterance are preferred to what the policy sampled for the same text and voice, whatever
either sounds like.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.candidate import Candidate, Preference


def prefer(golden: Candidate, samples: Sequence[Candidate]) -> Preference | None:
    """The golden side against the first sample that has any frames; None if there is none.

    The first is drawn at the first of ``sample.temperatures``; for the paper's setting let that be 1.0.
    """
    usable = [s for s in samples if s.n_frames > 0]
    if not usable or golden.n_frames == 0:
        return None
    return Preference(golden, usable[0], "golden over synthetic")
