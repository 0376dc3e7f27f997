"""What can be checked of the Dockerfile without a Docker engine (docs/docker.md)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions and their arguments, with continued lines joined and comments removed."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def arguments(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [text for name, text in steps if name == instruction]


def test_each_accelerator_has_a_base(steps):
    names = {text.split(" AS ")[1] for text in arguments(steps, "FROM") if " AS " in text}

    assert names == {"base-cpu", "base-cuda"}
    assert arguments(steps, "FROM")[-1] == "base-${ACCELERATOR}"
    assert arguments(steps, "ARG") == ["ACCELERATOR=cpu"]


def test_copied_files_exist_and_are_not_ignored(steps):
    ignored = (ROOT / ".dockerignore").read_text().split()
    for text in arguments(steps, "COPY"):
        for source in text.split()[:-1]:
            assert (ROOT / source).exists()
            assert source.removeprefix("./") not in ignored


def position(steps: list[tuple[str, str]], part: str) -> int:
    """The index of the one step that contains ``part``."""
    [found] = [number for number, (_, text) in enumerate(steps) if part in text]
    return found


def test_the_packages_need_nothing_but_what_is_copied_before_them(steps):
    install = position(steps, "make packages")
    copied = {Path(source).name for name, text in steps[:install] if name == "COPY" for source in text.split()[:-1]}
    locks = re.search(r"^LOCKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert locks
    assert {Path(lock).parts[0] for lock in locks[1].split()} <= copied
    assert "Makefile" in copied


def test_the_command_is_installed_once_the_code_is_there_and_before_the_user_changes(steps):
    install = position(steps, "make env")

    assert steps.index(("COPY", ". .")) < install < steps.index(("USER", "speechalign"))
    assert steps[position(steps, "make packages")][1].split()[2] == steps[install][1].split()[2] == "VENV=/opt/venv"


def test_the_flow_does_not_run_as_root(steps):
    assert arguments(steps, "USER") == ["speechalign"]
    assert any(
        f"useradd --create-home --uid 10001 {user}" in text
        for text in arguments(steps, "RUN")
        for user in arguments(steps, "USER")
    )


def test_the_entry_point_is_the_command(steps):
    [program] = json.loads(arguments(steps, "ENTRYPOINT")[0])
    command = json.loads(arguments(steps, "CMD")[0])
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][program].split(":")
    code = f"from {module} import {function}; {function}()"

    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
