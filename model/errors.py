"""Errors that a user can act on. Any other exception is a bug, and keeps its traceback."""

from __future__ import annotations


class SpeechAlignError(Exception):
    """Base of every error whose message says what was expected, what was found and what to do.

    Commands print the message alone and exit with status 1.
    """


class InputError(SpeechAlignError, ValueError):
    """A text, recording, table or setting that cannot be used."""


class CheckpointError(InputError):
    """A model folder that is missing or damaged, or whose parts do not belong together."""


class TrainingError(SpeechAlignError):
    """Training cannot go on: a loss, gradient or weight is not finite, or saved state does not fit."""
