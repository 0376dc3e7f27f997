"""A judge by its name on the Hugging Face Hub: found in seconds that it can't be downloaded, not after minutes."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

from model.errors import CheckpointError

SECONDS = 5.0


def check_reachable(name: str) -> None:
    """Refuse a name that is no folder and not in the cache where there is no network: the client would try for minutes.

    Raises:
        CheckpointError: it can't be had.
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if Path(name).exists() or isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
    except HFValidationError as error:
        raise CheckpointError(f"{name} is no folder, and can't be a name on the Hugging Face Hub: {error}") from error
    place = urlparse(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or place.scheme in getproxies() or place.hostname is None:
        return  # a proxy may reach what this machine doesn't
    try:
        socket.create_connection((place.hostname, place.port or 443), timeout=SECONDS).close()
    except OSError as error:
        raise CheckpointError(
            f"{name} is no folder here, not in the Hub's cache, and the Hub can't be reached ({error}). Where there is "
            f"a network, run `hf download {name} --local-dir FOLDER` and name that folder here; or leave this judge "
            "out: none"
        ) from error
