"""Freed tensors go back to the system at once, where memory matters more than time.

PyTorch asks for aligned blocks. The heap of glibc before 2.38 seldom finds room for one among freed blocks of the same
size, so it grows: a DPO step that holds 0.2 GB more than its model took 0.9 GB. Blocks of a row's hidden states count:
with those of 1 to 4 MB in the heap, twelve checkpoints of a layer left 0.8 GB of it free and unused.
"""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # of malloc.h
LEAST = 1 << 18  # bytes of a block: a small model's tensors stay in the heap, which is faster


def return_freed_memory() -> bool:
    """Give blocks of 256 KB or more mappings of their own from now on; return whether the C library can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and mallopt(M_MMAP_THRESHOLD, LEAST) == 1
