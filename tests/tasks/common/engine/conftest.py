"""A Ray cluster of two nodes on this machine, for the tests that Ray is installed for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PORT = "26379"
ADDRESS = f"127.0.0.1:{PORT}"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Working folders of two nodes with one processor each; ``compute.address`` is :data:`ADDRESS`."""
    import ray

    command = [str(Path(sys.executable).with_name("ray"))]
    if not Path(command[0]).exists():
        command = [sys.executable, "-m", "ray.scripts.scripts"]
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    session = tempfile.mkdtemp(prefix="ray")  # short: a socket's path has a limit
    small = ["--num-cpus", "1", "--object-store-memory", str(100 << 20), "--disable-usage-stats"]
    head = ["--head", "--port", PORT, "--temp-dir", session, "--include-dashboard=false"]
    # Each node finds this test's modules, as those of an installed project. Ray's workers step back behind all else.
    own = {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    own["RAY_AUTH_MODE"] = "disabled"  # else a head asks for a token where this user has run Ray before
    try:
        for node, folder in zip((head, ["--address", ADDRESS]), folders, strict=True):
            start = [*command, "start", *node, "--node-ip-address", "127.0.0.1", *small]
            subprocess.run(start, cwd=folder, env=os.environ | own, check=True, capture_output=True)
        yield folders
    finally:
        ray.shutdown()
        for process in psutil.process_iter(["cmdline"]):
            if any(session in argument for argument in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        shutil.rmtree(session, ignore_errors=True)
