"""Audio files from samples: as ``say`` writes them, or piece by piece while the rest is not yet known."""

from __future__ import annotations

import io

import numpy as np
import soundfile

TYPES = {"wav": "audio/wav", "flac": "audio/flac", "pcm": "audio/pcm"}  # of the answer
_OF_LIBSNDFILE = {"wav": "WAV", "flac": "FLAC", "pcm": "RAW"}
UNKNOWN = b"\xff\xff\xff\xff"  # the length in a WAV header, for readers to read on until the end
RIFF_SIZE, DATA_SIZE = slice(4, 8), slice(40, 44)


def encode(samples: np.ndarray, rate: int, kind: str) -> bytes:
    """Return samples ``(n,)`` as a file of 16-bit audio; ``pcm``: little-endian samples alone."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=_OF_LIBSNDFILE[kind], subtype="PCM_16")
    return file.getvalue()


class Stream:
    """A file that is written piece by piece. Its header gives no length; the samples are those of :func:`encode`."""

    def __init__(self, kind: str):
        self.kind = kind
        self._file = _Forward()
        self._flac: soundfile.SoundFile | None = None

    def write(self, samples: np.ndarray, rate: int) -> bytes:
        """Return what can be sent after these samples; FLAC keeps up to a block."""
        if self.kind == "flac":
            if self._flac is None:
                self._flac = soundfile.SoundFile(self._file, "w", rate, 1, "PCM_16", format="FLAC")
            self._flac.write(samples)
            return self._file.take()
        header = b""
        if self.kind == "wav" and not self._file.written:
            bare = bytearray(encode(samples[:0], rate, "wav"))
            bare[RIFF_SIZE] = bare[DATA_SIZE] = UNKNOWN
            header = bytes(bare)
        self._file.written = True
        return header + encode(samples, rate, "pcm")

    def close(self) -> bytes:
        """Return the rest."""
        if self._flac is not None:
            self._flac.close()
        return self._file.take()


class _Forward(io.RawIOBase):
    """A file that is sent while it is written: what would be written again at its beginning is dropped."""

    def __init__(self) -> None:
        self.written = False
        self._ready = bytearray()
        self._sent = self._at = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._sent + len(self._ready)}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        return b""

    def write(self, data: object) -> int:
        new = bytes(memoryview(data))  # type: ignore[arg-type]
        first = self._at - self._sent
        if first >= 0:
            self._ready[first : first + len(new)] = new
        self._at += len(new)
        return len(new)

    def take(self) -> bytes:
        ready, self._ready = bytes(self._ready), bytearray()
        self._sent += len(ready)
        return ready
