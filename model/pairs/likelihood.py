"""A control: of the samples without an error, the likeliest against the least likely. Judges find no difference.

What such pairs teach is what a lower sampling temperature gives: more of what the policy finds likely already.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.candidate import Candidate, Preference


def prefer(samples: Sequence[Candidate]) -> Preference | None:
    """Return the samples of highest and lowest mean log-probability; None with fewer than two without an error."""
    right = [s for s in samples if s.finished and s.spoken and s.n_frames > 0 and s.wer == 0]
    if len(right) < 2:
        return None
    chosen, rejected = (pick(right, key=lambda s: (s.logprob, s.key)) for pick in (max, min))
    return Preference(chosen, rejected, f"{chosen.logprob:.2f} against {rejected.logprob:.2f} nats per token")
