"""The example runs through as a newcomer would start it."""

import re
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_it_forms_pairs_widens_their_margin_and_prints_the_table():
    command = [sys.executable, "-m", "examples.one_iteration", "--tiny"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)

    assert run.returncode == 0, run.stderr
    assert int(re.search(r"(\d+) pairs from 120 texts with 2 draws each", run.stdout)[1]) > 0
    margins = [float(margin) for margin in re.findall(r"margin (-?[\d.]+) nats", run.stdout)]
    assert abs(margins[0]) < 0.01 and margins[-1] > 0.1
    assert re.search(
        r"1.0 +[\d.]+% +[\d.]+%\n0.5 +[\d.]+% +[\d.]+%\nchange .*\nthe interval (ex|in)cludes zero", run.stdout
    )
