"""A list of files in use that a kill cut short, and DVC after it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows import dvc_lock, graph, process
from flows.stage import UNCHANGED, repro


def test_dvc_works_again_after_a_list_that_was_cut_short(finished):
    dvc_lock.FILE.write_text("")
    command = [sys.executable, "-m", "dvc", "repro", "prepare"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode and "RWLock-file" in refused.stderr
    assert dvc_lock.empty_if_torn()
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("left", ["", '{"wri', "[]", "\x00" * 4])
def test_what_is_no_list_is_emptied_once(finished, left):
    dvc_lock.FILE.write_text(left)
    assert dvc_lock.empty_if_torn()
    assert not dvc_lock.empty_if_torn()


def test_the_graph_and_a_stage_need_no_help(finished):
    process.allow()
    dvc_lock.FILE.write_text("")
    assert "align@2" in graph.read().stages
    dvc_lock.FILE.write_text("")
    assert repro("align@2", 1, None, print).how == UNCHANGED


def test_a_whole_list_stays(finished):
    held = json.dumps({"write": {str(Path("runs").resolve()): {"pid": 2**22 - 1, "cmd": "dvc repro"}}})
    dvc_lock.FILE.write_text(held)
    assert not dvc_lock.empty_if_torn()
    assert dvc_lock.FILE.read_text() == held


def test_a_list_that_a_process_is_writing_is_left_to_it(finished):
    from dvc.lock import make_lock

    dvc_lock.FILE.write_text("")
    with make_lock(str(dvc_lock.FILE.with_suffix(".lock")), tmp_dir=str(dvc_lock.FILE.parent)):
        assert not dvc_lock.empty_if_torn()
    assert dvc_lock.FILE.read_text() == ""


def test_a_folder_without_dvc_has_none(tmp_path):
    assert not dvc_lock.empty_if_torn(tmp_path)
