"""Templates and token patterns of a layout: which ``{fields}`` they may have."""

from __future__ import annotations

import string

CONTEXT_FIELDS = frozenset({"text", "speaker", "globals"})
PROMPTED_FIELDS = CONTEXT_FIELDS | {"prompt_text", "prompt_codes", "prompt_words"}
COMPLETION_FIELDS = frozenset({"codes", "words", "features"})
WORD_FIELDS = frozenset({"word", "codes", "features"})

Pattern = str  # of a token's name, with one {} for the number or value


def fields_of(template: str) -> set[str]:
    """Return the names of the ``{fields}`` of a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def check_template(template: str, allowed: frozenset[str], needed: set[str]) -> None:
    """Refuse a template with another field than ``allowed``, a field twice, or without one that is ``needed``."""
    try:
        parsed = [(name, spec, change) for _, name, spec, change in string.Formatter().parse(template)]
    except ValueError as error:
        raise ValueError(f"the template {template!r} is not well formed: {error}") from error
    names = [name for name, _, _ in parsed if name is not None]
    if unknown := sorted(set(names) - allowed):
        raise ValueError(f"the template {template!r} has {{{unknown[0]}}}; expected {', '.join(sorted(allowed))}")
    if missing := sorted(needed - set(names)):
        raise ValueError(f"the template {template!r} has no {{{missing[0]}}}")
    if len(names) != len(set(names)) or any(spec or change for _, spec, change in parsed):
        raise ValueError(f"the template {template!r} should have each field once, and plain")


def check_pattern(pattern: Pattern) -> Pattern:
    """Refuse a pattern without exactly one ``{}``."""
    if pattern.count("{}") != 1 or pattern.replace("{}", "").count("{") or pattern.replace("{}", "").count("}"):
        raise ValueError(f"a token's pattern should have one {{}}, found {pattern!r}")
    return pattern
