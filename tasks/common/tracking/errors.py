"""The error of everything that MLflow refuses."""

from __future__ import annotations

from tasks.common.files import DataError


class TrackingError(DataError):
    """MLflow cannot be reached or refuses; the message says what to do."""
