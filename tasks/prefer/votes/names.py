"""Names of raters: which may be used, and when two are one rater's."""

from __future__ import annotations

import unicodedata

MOST = 80  # characters
JOINERS = "\u200c\u200d"  # part of Persian names, and of emoji of several characters
FORMULA = "=+-@"  # a spreadsheet takes a cell that begins so for a formula
# Nothing to see, although Unicode does not count them as format characters: its Default_Ignorable_Code_Point.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
_UNSEEN.update(range(0xE0100, 0xE01F0))


def shown(name: str) -> str:
    """Return a name as it is kept: composed (NFC), one space between words, no invisible characters but joiners."""
    composed = unicodedata.normalize("NFC", name)
    return " ".join("".join(c for c in composed if unicodedata.category(c) != "Cf" or c in JOINERS).split())


def folded(name: str) -> str:
    """Return what raters are told apart by: case, spaces, invisible characters and ways to write one letter are none.

    Unicode's NFKC_Casefold, with one space between words.
    """
    seen = "".join(c for c in name if unicodedata.category(c) != "Cf" and ord(c) not in _UNSEEN)
    caseless = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return " ".join(caseless.split())


def problem(name: str) -> str | None:
    """Return in words why a rater cannot be called so; None: all is well."""
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name.strip()):
        return "the name of a rater must be one line without control characters"
    kept = folded(name)
    if not any(unicodedata.category(c)[0] in "LNPS" for c in kept):
        return "the name of a rater is empty"
    if len(shown(name)) > MOST:
        return f"the name of a rater may have {MOST} characters"
    if kept[0] in FORMULA:
        return f"the name of a rater must not begin with {' or '.join(FORMULA)}, as formulas of spreadsheets do"
    return None
