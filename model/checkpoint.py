"""A checkpoint folder: ``config.json`` and ``model.safetensors``. Nothing in it is unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from model.checkpoint_size import check_size
from model.config import read as read_config
from model.errors import CheckpointError
from model.writing import disk_errors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
POINTER = b"version https://git-lfs"  # how a file begins that git-lfs has not fetched yet
FLOATS = ("F64", "F32", "F16", "BF16")  # safetensors' names of the types that weights may have
WEIGHT = re.compile(r"(weight|weight_[gv]|original[01])$")  # names of weights, not of masks or counts
Config = TypeVar("Config")
Module = TypeVar("Module", bound=torch.nn.Module)


def save(module: torch.nn.Module, config: dict[str, Any], folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write ``config`` and the weights; ``dtype`` narrows the file, not the module."""
    folder.mkdir(parents=True, exist_ok=True)
    state = module.state_dict()
    weights = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    with disk_errors(folder / WEIGHTS):
        save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def is_checkpoint(folder: Path) -> bool:
    """Say whether both files are there."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def check(folder: Path, kind: str, published: Collection[str] = ()) -> None:
    """Refuse a folder that holds no checkpoint.

    Args:
        kind: what should be there, for the message: "codec", "NAR".
        published: names that could be given instead of a folder.

    Raises:
        CheckpointError: a file is missing.
    """
    if not is_checkpoint(folder):
        names = f", or the name of a published one: {', '.join(sorted(published))}" if published else ""
        raise CheckpointError(f"{folder} holds no {kind}: expected {CONFIG} and {WEIGHTS}{names}")


def load_config(
    folder: Path, kind: str, model_type: str, make: Callable[..., Config], published: Collection[str] = ()
) -> Config:
    """Return ``make(**fields)`` of the ``config.json`` of a ``kind`` whose ``model_type`` must be this one.

    Raises:
        CheckpointError: no checkpoint there, another model's, or fields that ``make`` does not take.
    """
    check(folder, kind, published)
    where = f"{folder}/{CONFIG}"
    found = read_config(folder / CONFIG)
    if found.pop("model_type", None) != model_type:
        raise CheckpointError(f"{where} is no {kind}'s (its model_type should be {model_type})")
    try:
        made = make(**found)
        _check_sizes(made)
    except Exception as error:  # transformers checks its fields with errors of a package below it
        raise CheckpointError(f"{where}: its fields do not fit the {kind}: {error}") from error
    return made


def built(make: Callable[[], Module], folder: Path) -> Module:
    """Return ``make()``, a module of the sizes in the folder's ``config.json``.

    Raises:
        CheckpointError: no module has such sizes, the weights next to it cannot fill them, or the memory holds none.
    """
    check_whole(folder / WEIGHTS)
    check_size(make, [folder / WEIGHTS], folder / CONFIG)
    try:
        return make()
    except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{folder}/{CONFIG} has sizes that no model can have here: {reason}") from error


def check_whole(file: Path) -> None:
    """Refuse a safetensors file that is no whole one, or whose weights are not floating-point numbers.

    Raises:
        CheckpointError: a pointer of git-lfs, half a download, damaged, or quantized weights.
    """
    with file.open("rb") as handle:
        if handle.read(len(POINTER)) == POINTER:
            raise CheckpointError(f"{file} is a git-lfs pointer, half a download; run `git lfs pull` in its folder")
    try:
        with safe_open(str(file), framework="pt") as opened:
            types = {name: opened.get_slice(name).get_dtype() for name in opened.keys() if WEIGHT.search(name)}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{file} is half a download, or damaged: {error}") from error
    for name, kind in types.items():
        if kind not in FLOATS:
            raise CheckpointError(
                f"{file} has {name} as {kind}, quantized or of another kind; expected {', '.join(FLOATS)}"
            )


def _check_sizes(made: Any) -> None:
    """Refuse a configuration whose sizes are no whole numbers: Python's dataclasses take values of any type."""
    if not is_dataclass(made):
        return
    for field in fields(made):
        value = getattr(made, field.name)
        if field.type in ("int", int):
            sizes = [value]
        elif field.type == "tuple[int, ...]":
            sizes = list(value)
        else:
            continue
        if any(type(size) is not int or size < 0 for size in sizes):
            raise ValueError(f"{field.name} should be whole and not negative, found {value!r}")


def load_weights(module: Module, folder: Path) -> Module:
    """Fill ``module`` with the folder's weights as float32 and return it in evaluation mode.

    Raises:
        CheckpointError: damaged weights, weights of another shape than the module's, or one that is not finite.
    """
    check_whole(folder / WEIGHTS)
    try:
        module.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS).items()})
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the weights do not fit its {CONFIG}: {error}") from error
    check_finite(module, folder)
    return module.eval()


def check_finite(module: torch.nn.Module, folder: Path) -> None:
    """Refuse a model with a weight or buffer that is not finite, or with a matrix of zeros.

    All that it computes would be nothing. A download that was broken off may leave zeros up to the file's full length.

    Raises:
        CheckpointError: with the weight's name.
    """
    if problem := not_finite(module):
        raise CheckpointError(f"{folder}: {problem}; take an earlier checkpoint, or train it again")
    for name, value in module.named_parameters():
        if value.ndim > 1 and value.numel() and not value.any():
            raise CheckpointError(f"{folder}: all values of {name} are 0: half a download, or damaged; fetch it again")


def not_finite(module: torch.nn.Module) -> str:
    """Return which weight or saved buffer (a codebook, a running mean) is not finite and in how many values, or "".

    Weights that share their memory are looked at once, under their first name.
    """
    seen: set[int] = set()
    for name, kept in module.state_dict(keep_vars=True).items():
        if not isinstance(kept, torch.Tensor) or id(kept) in seen:
            continue
        seen.add(id(kept))
        value = kept.detach()
        if not all_finite(value):
            return f"{int((~torch.isfinite(value)).sum())} of {value.numel()} values of {name} are not finite"
    return ""


def all_finite(values: torch.Tensor) -> bool:
    """Return whether all values of a tensor are finite; whole numbers are."""
    if not values.is_floating_point() or not values.numel():
        return True
    # Least and largest are NaN where a value is. They need no memory; isfinite of all takes a copy and more.
    return all(bool(torch.isfinite(end)) for end in values.aminmax())
