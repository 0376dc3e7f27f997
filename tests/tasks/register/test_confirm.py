"""A new champion on fresh draws: it stays if nothing was lost, and the alias goes back otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
import torch

from tasks.common.files import DataError
from tasks.common.tracking import patience
from tasks.common.tracking.client import connect
from tasks.register import __main__ as register
from tasks.register import champion as champions
from tasks.register import confirm
from tests.mlflow_server import Forwarder
from tests.tasks.register import tiny

CPU = torch.device("cpu")
NAME = "speechalign-policy"
GOOD, BETTER = tiny.judged(), tiny.judged(wer=0.1, seed=1)


@pytest.fixture
def two(sqlite: str, tmp_path: Path):
    """A loop whose second version took the title from the first; its settings."""
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [GOOD, BETTER])
    assert register.register(params, CPU)["champion"] == 2
    return params


def fresh(**wer: float):
    """An evaluation of versions by made tables, and the seeds that it was asked with."""
    seeds = []

    def evaluate(version, settings):
        seeds.append(settings.seed)
        return tiny.judged(wer=wer[f"v{version.version}"], seed=int(version.version))

    return evaluate, seeds


def champion() -> int:
    return int(connect().get_registered_model(NAME).aliases["champion"])


def test_a_champion_that_lost_nothing_stays_and_is_asked_once(two):
    evaluate, seeds = fresh(v1=0.3, v2=0.28)
    found = confirm.confirm(connect(), "2", two, evaluate)

    assert (found["outcome"], found["against"]) == ("confirmed", 1)
    assert champion() == 2
    assert set(seeds) == {two.seed + confirm.FRESH}
    assert confirm.confirm(connect(), "2", two, evaluate) == found and len(seeds) == 2


def test_a_champion_that_is_worse_on_fresh_draws_gives_the_title_back_for_good(two):
    evaluate, seeds = fresh(v1=0.1, v2=0.4)
    found = confirm.confirm(connect(), "2", two, evaluate)

    assert found["outcome"] == "rolled back" and "not worse" in found["reason"]
    assert champion() == 1
    # The alias that moved back is news, too; it starts no second round. Nor does the next run of `register`.
    assert confirm.confirm(connect(), "1", two, evaluate)["outcome"] == "had the title before"
    assert confirm.confirm(connect(), "2", two, evaluate)["outcome"] == "no longer champion"
    assert len(seeds) == 2
    report = register.register(two, CPU)
    assert report["champion"] == 1 and report["versions"][1]["reason"].startswith("on fresh draws: ")


def test_a_kill_before_the_alias_moved_is_made_up_for(two):
    evaluate, seeds = fresh(v1=0.1, v2=0.4)
    confirm.confirm(connect(), "2", two, evaluate)
    connect().set_registered_model_alias(NAME, "champion", "2")

    confirm.confirm(connect(), "2", two, evaluate)
    assert champion() == 1 and len(seeds) == 2


def test_the_first_champion_has_nobody_to_give_the_title_to(sqlite, tmp_path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [GOOD])
    register.register(params, CPU)
    found = confirm.confirm(connect(), "1", params, fresh()[0])
    assert found["outcome"] == "nothing before it" and champion() == 1
    assert json.loads(connect().get_model_version(NAME, "1").tags[confirm.CONFIRMED]) == found


def test_a_version_that_does_not_exist_is_named(two):
    with pytest.raises(DataError, match="has no version 9; its versions are: 1, 2"):
        confirm.confirm(connect(), "9", two, fresh()[0])


def test_a_server_that_is_away_when_a_version_is_loaded_is_waited_for(
    tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
):
    gate = Forwarder(mlflow_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.address)
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)
    connect()
    gate.shut()  # while another version was judged
    asked, loads = patience._away, []

    def asks(*arguments):
        if away := asked(*arguments):
            gate.open()
        return away

    def load(*_, **__):
        loads.append(1)
        raise ConnectionError if len(loads) == 1 else ValueError("it is back")

    monkeypatch.setattr(patience, "_away", asks)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", load)
    version = SimpleNamespace(name=NAME, version="1", tags={})
    with pytest.raises(DataError, match="could not be evaluated: it is back"):
        champions.evaluate_again(version, tiny.params(tmp_path, iterations=1), CPU)
    assert len(loads) == 2
