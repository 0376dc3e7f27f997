"""Transcripts as the policy spells them (:mod:`model.spelling`): the verdict on one utterance of a corpus."""

from __future__ import annotations

from model import spelling
from model.spelling import Spelling
from tasks.common.rejected import Rejected


def normalize(text: str | None, rules: Spelling = Spelling()) -> str:  # noqa: B008
    """Return the text as :func:`model.spelling.normalize` spells it.

    Raises:
        Rejected: the text can't be read aloud as it is.
    """
    try:
        return spelling.normalize(text, rules)
    except spelling.UnreadableError as error:
        raise Rejected(error.reason, error.expected, error.found) from error
