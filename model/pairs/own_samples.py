"""The policy's own samples, ranked by a Pareto rule over WER and similarity.

As in Koel-TTS (arXiv 2502.05236, section 3.2), a sample is preferred only to one that it beats in intelligibility
without losing the voice. Both sides come from the policy, so a pair can't teach how golden speech differs from
synthetic. It ranks two of the policy's own renderings.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.candidate import Candidate, Preference


def prefer(
    samples: Sequence[Candidate], *, min_wer_gap: float, max_chosen_wer: float, similarity_slack: float = 0.02
) -> Preference | None:
    """Return the best and the worst sample, if they are far enough apart.

    Chosen is the finished sample of lowest WER, ties broken by similarity, if it has words and a WER of at most
    ``max_chosen_wer``. Rejected is the one of highest WER among those whose similarity is not above the chosen's by
    more than ``similarity_slack`` (embedding noise). None where no such pair has a WER gap of at least ``min_wer_gap``.
    """
    good = [s for s in samples if s.finished and s.spoken and s.n_frames > 0 and s.wer <= max_chosen_wer + 1e-9]
    if not good:
        return None
    chosen = min(good, key=lambda s: (s.wer, -s.similarity, s.key))
    worse = [
        s
        for s in samples
        if s.n_frames > 0
        and s.wer - chosen.wer >= min_wer_gap - 1e-9
        and not s.similarity > chosen.similarity + similarity_slack  # NaN: there is no voice to compare with
    ]
    if not worse:
        return None
    rejected = max(worse, key=lambda s: (s.wer, -s.similarity, -s.key))
    return Preference(
        chosen,
        rejected,
        f"WER {chosen.wer:.2f} against {rejected.wer:.2f}, "
        f"similarity {chosen.similarity:.2f} against {rejected.similarity:.2f}",
    )
