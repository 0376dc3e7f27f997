"""A checkpoint by its name on the Hugging Face Hub: from the Hub's local cache, or downloaded into it. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from model.config import read
from model.errors import CheckpointError
from model.frames.families import family_of, model_type

NAME = re.compile(r"[\w.-]+/[\w.-]+")
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.yaml")  # no pickle is ever downloaded
CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"


def local_folder(name: str | Path) -> Path:
    """Return the folder of a checkpoint: the one of this path, or that of a Hub's name.

    A path that exists, or whose first part does, is no name of the Hub. What is complete in the cache is used as it is,
    without the network.

    Raises:
        CheckpointError: a name that is not in the cache and cannot be downloaded.
    """
    folder = Path(name)
    if folder.exists() or not NAME.fullmatch(str(name)) or folder.parent.exists():
        return folder
    cached = _snapshot(str(name), offline=True)
    if isinstance(cached, Path) and (_complete(cached) or _pickled(cached)):
        return cached
    found = _snapshot(str(name), offline=False)
    if isinstance(found, Path) and (_complete(found) or _pickled(found)):
        return found
    if isinstance(found, Path):  # offline, too: then it is the part that the cache has
        held = ", ".join(sorted(path.name for path in found.iterdir())) or "none of them"
        raise CheckpointError(
            f"{found}, which the Hub's cache has of {name}, is half a download or no model: expected {CONFIG}, "
            f"{TOKENIZER} and weights in safetensors, found {held}; where there is a network, run `hf download {name}`"
        )
    from huggingface_hub import constants

    raise CheckpointError(
        f"{name} is no folder here, not in the Hub's cache ({constants.HF_HUB_CACHE}), and could not be downloaded: "
        f"{found}; where there is a network, run `hf download {name}`, or name a folder that holds {CONFIG}, "
        f"{TOKENIZER} and the safetensors"
    )


def cached_folder(name: str | Path) -> Path | None:
    """Return the folder of a checkpoint as far as it is on this machine, or None; nothing is downloaded."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not NAME.fullmatch(str(name)) or folder.parent.exists():
        return None
    found = _snapshot(str(name), offline=True)
    return found if isinstance(found, Path) and _complete(found) else None


def _snapshot(name: str, offline: bool) -> Path | str:
    """Return the folder of the cached or downloaded files, or why there is none."""
    from huggingface_hub import snapshot_download  # a second, which who names a folder need not wait for

    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), local_files_only=offline))
    except Exception as error:  # no network, no such name, a gated one, a damaged cache, a full disk
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _complete(folder: Path) -> bool:
    if not (folder / CONFIG).is_file():
        return False
    family = family_of(model_type(folder))
    if not (folder / TOKENIZER).is_file() and not (family and family.of_bytes):
        return False
    names: list[str] = [WEIGHTS]
    if (folder / INDEX).is_file():
        places = read(folder / INDEX).get("weight_map")
        names = [str(name) for name in places.values()] if isinstance(places, dict) and places else names
    return all((folder / name).is_file() for name in names)


def _pickled(folder: Path) -> bool:
    """Say whether there is a model whose weights are a pickle only: loading it gives the reason and a way out."""
    return (folder / CONFIG).is_file() and not any(folder.glob("*.safetensors*")) and any(folder.glob("*.bin"))
