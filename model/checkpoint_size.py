"""Refuse a ``config.json`` whose model is far larger than the weights next to it, before any memory is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch.nn.modules import module as hooks_of_modules

from model.errors import CheckpointError

# A module may register a weight more than once (tied, normalized), and be filled by fewer tensors than it has.
TIMES, SPARE_VALUES, SPARE_PARTS = 4, 10_000_000, 10_000


class _TooLargeError(Exception):
    """The module under construction has more values or parts than its weights can fill."""


def check_size(make: Callable[[], Any], weights: Iterable[Path], config: Path) -> None:
    """Refuse sizes that the weights cannot fill.

    The module is built on the meta device, which holds no numbers, and no further than the weights allow.

    Args:
        make: builds the module. weights: whole safetensors files.

    Raises:
        CheckpointError: with the file of the configuration.
    """
    values, tensors = _contents(weights)
    most_values, most_parts = TIMES * values + SPARE_VALUES, TIMES * tensors + SPARE_PARTS
    found, own_thread = [0, 0], threading.get_ident()

    def count(values: int) -> None:
        if threading.get_ident() != own_thread:  # the hooks are global: another thread builds a module of its own
            return
        found[0], found[1] = found[0] + values, found[1] + 1
        if found[0] > most_values or found[1] > most_parts:
            raise _TooLargeError

    def count_tensor(_module: Any, _name: str, value: Any) -> None:
        count(0 if value is None else value.numel())

    def count_module(_module: Any, _name: str, _child: Any) -> None:
        count(0)

    hooks = [
        hooks_of_modules.register_module_parameter_registration_hook(count_tensor),
        hooks_of_modules.register_module_buffer_registration_hook(count_tensor),
        hooks_of_modules.register_module_module_registration_hook(count_module),
    ]
    try:
        with torch.device("meta"):
            make()
    except _TooLargeError:
        raise CheckpointError(
            f"{config} has sizes of another model: expected about {values:,} weights in {tensors} tensors, which its "
            f"safetensors hold, found more than {found[0] - 1:,} in {found[1]} parts; fetch the folder again"
        ) from None
    except Exception:
        return  # the real construction says what is wrong
    finally:
        for hook in hooks:
            hook.remove()


def _contents(weights: Iterable[Path]) -> tuple[int, int]:
    """Return how many values and tensors the files hold."""
    values = tensors = 0
    for file in weights:
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                values += torch.Size(opened.get_slice(name).get_shape()).numel()
                tensors += 1
    return values, tensors
