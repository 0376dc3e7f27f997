"""``register`` changes MLflow, so DVC's run cache must never answer for it. Its output as declared, on a toy stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows import process
from flows.graph import read
from flows.stage import RAN, RESTORED, UNCHANGED, Outcome, repro
from tests.flows.conftest import PROJECT

# Stands for the registry, which is no output of any stage; then the output, whole.
REGISTER = """
import pathlib, yaml
champion = yaml.safe_load(pathlib.Path("params.yaml").read_text())["champion"]
pathlib.Path("registry").write_text(champion)
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("{out}").write_text(champion)
"""


@pytest.fixture
def registering(toy):
    """The toy with one stage, whose output is declared as the real ``register`` declares its own."""
    process.allow()
    outs = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["register"]["outs"]
    stage = {"cmd": "python register.py", "deps": ["register.py"], "params": ["champion"], "outs": outs}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"register": stage}}))
    assert read().stages["register"].outs == ("reports/registration.json",)  # as plain a path as any other
    Path("register.py").write_text(REGISTER.format(out="reports/registration.json"))
    return toy


def run() -> Outcome:
    return repro("register", 1, None, print)


def found() -> tuple[str, str]:
    """The champion in the registry, and the one that the output names."""
    return Path("registry").read_text(), Path("reports/registration.json").read_text()


def test_params_that_go_to_and_fro_register_each_time(registering):
    for champion in ("a", "b", "a"):
        registering.set(champion=champion)
        assert run().how == RAN
        assert found() == (champion, champion)
    assert run().how == UNCHANGED


def test_after_make_clean_it_registers_again(registering):
    registering.set(champion="a")
    run()
    Path("registry").unlink()
    Path("reports/registration.json").unlink()
    assert run().how == RAN
    assert found() == ("a", "a")


def test_an_ordinary_output_would_be_restored(registering):
    """What the setting is for: should DVC no longer restore such an output, it can go."""
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text().replace("persist: true", "persist: false"))
    registering.set(champion="a")
    run()
    Path("registry").unlink()
    Path("reports/registration.json").unlink()
    assert run().how == RESTORED
    assert not Path("registry").exists()
