"""Codecs of other installed packages, by Python's entry points.

A package that its user installs names its class under the group ``speechalign.codecs``, by the ``model_type`` that the
``config.json`` of its codec's folders has. Code is run from installed packages only, never from a checkpoint's folder.
"""

from __future__ import annotations

from importlib import metadata

from model.codecs.base import Codec
from model.errors import CheckpointError

GROUP = "speechalign.codecs"


def plugin(kind: str) -> metadata.EntryPoint | None:
    """Return the entry point of a kind of codec, or None.

    Raises:
        CheckpointError: two packages have one.
    """
    found = {(point.value, point.dist.name if point.dist else ""): point for point in _points(kind)}
    if len(found) > 1:
        names = ", ".join(sorted(f"{value} of {name}" for value, name in found))
        raise CheckpointError(f"the codec {kind} is in several installed packages: {names}; uninstall all but one")
    return next(iter(found.values()), None)


def plugin_class(kind: str, folder: str) -> type[Codec]:
    """Return the class of a kind of codec that another package brings.

    Raises:
        CheckpointError: no installed package has this kind, its import fails, or it is no complete ``Codec``.
    """
    point = plugin(kind)
    if point is None:
        from model.codecs.registry import CODECS

        raise CheckpointError(
            f"{folder}/config.json has model_type {kind!r}; expected one of {', '.join(sorted(CODECS))}, or one that "
            f"an installed package names under the entry points {GROUP!r} (docs/your-model.md)"
        )
    try:
        made = point.load()
    except Exception as error:  # another project's module may fail in any way
        raise CheckpointError(f"the codec {kind}, {point.value}, cannot be imported: {error!r}") from error
    if not (isinstance(made, type) and issubclass(made, Codec)):
        raise CheckpointError(f"the codec {kind}, {point.value}, should be a subclass of model.codecs.base.Codec")
    if missing := sorted(getattr(made, "__abstractmethods__", ())):
        raise CheckpointError(f"the codec {kind}, {point.value}, lacks {', '.join(missing)}")
    return made


def check_attributes(codec: Codec, kind: str) -> Codec:
    """Return a codec of another package, with everything that the loop reads.

    Raises:
        CheckpointError: it lacks a rate, a size, or its device.
    """
    for name in ("sample_rate", "hop_length", "n_codebooks", "codebook_size"):
        value = getattr(codec, name, None)
        if not isinstance(value, int) or value <= 0:
            raise CheckpointError(f"the codec {kind} should have a positive {name}, found {value!r}")
    if getattr(codec, "device", None) is None:
        raise CheckpointError(f"the codec {kind} should have a device, found none")
    return codec


def requirement(kind: str) -> str | None:
    """Return the package of a kind of codec with its version, as pip takes it; None for one of this project's."""
    point = plugin(kind)
    return f"{point.dist.name}=={point.dist.version}" if point is not None and point.dist else None


def _points(kind: str) -> metadata.EntryPoints:
    return metadata.entry_points(group=GROUP, name=kind)
