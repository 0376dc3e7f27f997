"""What a disk refuses is one kind of error, whichever library writes: tried with a limit on the size of files."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from model import checkpoint, policy
from model.saved_state import Saver
from model.writing import disk_errors

SHAPE = policy.ArShape(layers=2, width=64, heads=2, max_positions=64)
LARGE = torch.nn.Linear(200, 200)


@pytest.fixture
def small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS: dict[str, Callable[[Path], object]] = {
    "state": lambda path: Saver(path / "s.pt", "a", background=False).save({"model": LARGE}, 1, write=True),
    "checkpoint": lambda path: checkpoint.save(LARGE, {}, path),
    "policy": lambda path: policy.save(policy.build(SHAPE, 8), path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_the_disk_refuses_is_an_oserror_with_its_number_and_name(
    small_files: None, tmp_path: Path, writer: str
) -> None:
    with pytest.raises(OSError, match=str(tmp_path)) as found:
        WRITERS[writer](tmp_path)
    assert found.value.errno == errno.EFBIG
    assert not list(tmp_path.glob("*.tmp"))


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"), disk_errors(tmp_path):
        raise RuntimeError("a bug")
