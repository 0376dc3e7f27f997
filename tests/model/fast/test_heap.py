import platform
import subprocess
import sys

import pytest

BLOCK = """
import ctypes, sys
from model.fast.heap import return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
if sys.argv[1] == "asked":
    assert return_freed_memory()
libc.free(libc.malloc(16 << 20))
print(libc.malloc(8 << 20) % 4096 == 16)  # the start of a mapping, after its header
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's heap")
@pytest.mark.parametrize(("asked", "own"), [("asked", "True\n"), ("not", "False\n")])
def test_after_a_larger_one_was_freed_a_block_has_a_mapping_of_its_own_where_asked(asked, own):
    done = subprocess.run([sys.executable, "-c", BLOCK, asked], capture_output=True, text=True, check=True)
    assert done.stdout == own
