"""Whether an audio file is as long as its container says: a copy that was interrupted is not.

libsndfile reads what is there and notes in its log that the header promised more. The containers about which it
says nothing are checked here. One whose header does not tell how long it is can't be checked and is not taken.
"""

from __future__ import annotations

import re
from pathlib import Path

from tasks.common.rejected import Rejected

# Containers that say how long they are, or end in a mark. FLAC and MP3 are counted while they are decoded.
CHECKED = (
    *("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST"),
    *("SVX", "VOC", "WVE", "MAT4", "HTK", "SDS", "SD2"),
)
UNKNOWN_SIZE = 0x7FFF0000  # bytes; programs that write to a pipe put this or more where the size belongs
_SHORTER = re.compile(
    r"^\s*(?:data|SSND|BODY|riff|Riff size|Data Size|Data length)\s*:?\s*(\d+)\s*\(?should be (\d+)", re.MULTILINE
)
_SHORTER_RF64 = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_NIST_COUNT = re.compile(rb"\bsample_count -i (\d+)")
_NIST_HEADER, _OGG_PAGE = 1024, 27 + 255 + 255 * 255  # bytes; of the largest page
_OGG_END = 4  # flag of the last page


def check_complete(path: Path, container: str, frames: int, log: str) -> None:
    """Refuse a file that is shorter than it says.

    Args:
        container: libsndfile's name of the format. frames: that libsndfile finds. log: its notes on the file.

    Raises:
        Rejected: truncated, or of a container that does not say how long it is.
    """
    if container not in CHECKED:
        expected = "a container that says how long its audio is, such as WAV or FLAC"
        raise Rejected("unusable container", expected, container)
    for promised, found in _SHORTER.findall(log):
        if int(found) < int(promised) < UNKNOWN_SIZE:
            raise _truncated(f"{promised} bytes as its header says", f"{found}")
    for found, promised in _SHORTER_RF64.findall(log):
        if int(found) < int(promised) < UNKNOWN_SIZE:
            raise _truncated(f"{promised} samples as its header says", f"{found}")
    if "truncated" in log:
        raise _truncated("all of the file that its header describes", "less")
    if container == "NIST":
        with path.open("rb") as file:
            count = _NIST_COUNT.search(file.read(_NIST_HEADER))
        if count and frames < int(count[1]):
            raise _truncated(f"{int(count[1])} samples as its header says", f"{frames}")
    if container == "OGG" and not _ends_with_last_page(path):
        raise _truncated("a whole last page", "an Ogg file that breaks off")


def _truncated(expected: str, found: str) -> Rejected:
    return Rejected("truncated audio", expected, found)


def _ends_with_last_page(path: Path) -> bool:
    """Return whether the last page of an Ogg file is marked as such and whole (RFC 3533)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * _OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page.startswith(b"OggS") or not page[5] & _OGG_END:
        return False
    segments = page[27 : 27 + page[26]]
    return len(segments) == page[26] and len(page) >= 27 + len(segments) + sum(segments)
