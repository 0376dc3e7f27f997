"""The kinds of codecs that a layout may name under ``codec.kind``."""

from __future__ import annotations

from importlib import metadata

from model.codecs.facts import PUBLISHED_FACTS
from model.codecs.plugins import GROUP
from model.errors import InputError


def layout_kind(kind: str) -> str:
    """Return a codec's kind as layouts write it: an EnCodec is one, with this project's class or ``transformers``'."""
    return kind.removesuffix("_hf")


def kinds() -> list[str]:
    """Return the kinds that this project loads."""
    from model.codecs.registry import CODECS  # imports torch

    return sorted({layout_kind(kind) for kind in CODECS})


def installed() -> list[str]:
    """Return the kinds that other installed packages bring (:mod:`model.codecs.plugins`)."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def check_kind(kind: str, where: str) -> None:
    """Refuse a kind of codec that is neither this project's nor an installed package's.

    Args:
        where: it is named, for the message.

    Raises:
        InputError: with all that there are.
    """
    known = [*kinds(), *installed()]
    if kind not in known:
        raise InputError(
            f"{where}: codec.kind is {kind!r}, which no installed package has; expected one of {', '.join(known)}, or "
            f"one of your own with the entry point {GROUP} (docs/your-model.md)"
        )


def described() -> list[str]:
    """Return a line per kind: its published models with their rate in Hz, levels and codes per level."""
    lines = []
    for kind in kinds():
        published = [
            f"{name} ({facts.sample_rate} Hz, {facts.n_codebooks} × {facts.codebook_size})"
            for name, facts in PUBLISHED_FACTS.items()
            if layout_kind(facts.kind) == kind
        ]
        lines.append(f"{kind:9} {', '.join(published) or 'a folder'}")
    return [*lines, *(f"{kind:9} of an installed package" for kind in installed())]
