"""The loop on a toy pipeline: what runs, what does not, and how it ends."""

from __future__ import annotations

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows import results, schedule, server
from flows.evaluate import speechalign_evaluate
from flows.loop import speechalign_loop
from tasks.common.files import write_json
from tasks.common.tracking.outbox import UNSENT
from tests.flows.conftest import PROJECT, gone

pytestmark = pytest.mark.usefixtures("prefect_api")

WITHIN, WORSE = 0.005, 0.05  # rise of the WER over the iteration before; its interval is 0.01 either way


def chain(first: float = WITHIN, second: float = 0.0) -> dict:
    return {"1": {"prev": "0", "rise": first}, "2": {"prev": "1", "rise": second}}


def artifact(key: str):
    from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

    with get_client(sync_client=True) as client:
        wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key]))
        found = client.request(
            "POST", "/artifacts/latest/filter", json={"artifacts": wanted.model_dump(mode="json")}
        ).json()
    return found[0]["data"] if found else None


def test_a_first_run_makes_everything_and_a_second_does_nothing(toy, capsys):
    # Iteration 1 is worse, but within the interval: that stops nothing. Its judgement ends only once the samples of
    # iteration 2 have started: they go ahead of it.
    toy.set(trouble={"evaluate@1": {"after": "sample@2"}})
    outcomes = speechalign_loop()
    assert set(outcomes.values()) == {"ran"}
    lines = (toy.folder / "calls.log").read_text().splitlines()
    names = toy.calls()
    every = "prepare policy@0 policy@1 policy@2 evaluate@0 evaluate@1 evaluate@2 sample@1 sample@2 report"
    assert sorted(names) == sorted(every.split())
    assert names[:2] == ["prepare", "policy@0"]
    assert names.index("policy@1") < names.index("evaluate@1") < names.index("policy@2")
    # Alone a stage has the whole machine; two that start together share it, unless one asks for all of it.
    threads = dict(line.split(" threads=") for line in lines)
    assert threads["prepare"] == "2"
    assert (threads["evaluate@0"], threads["sample@1"]) == ("1", "1")
    assert (threads["policy@1"], threads["policy@2"]) == ("2", "2")
    assert (toy.folder / "reports/index.html").read_text() == "0 1 2"
    # The table, on the console and as an artifact, and the link to the report.
    printed = capsys.readouterr().out
    assert "10.0 [9.0, 11.0]" in printed
    assert "reports/index.html" in printed
    assert '"texts": "long", "system": "iteration 2", "decoding": "T 0.5"' in artifact("speechalign-results")
    assert "reports/index.html" in artifact("speechalign-report")

    assert set(speechalign_loop().values()) == {"unchanged"}
    assert toy.calls() == []


def test_a_changed_iteration_reruns_with_its_dependents_and_a_reverted_one_is_restored(finished):
    finished.set(iterations=chain(second=-0.005))
    outcomes = speechalign_loop()
    assert {name for name, how in outcomes.items() if how == "ran"} == {"align@2", "evaluate@2", "report"}
    assert finished.calls() == ["policy@2", "evaluate@2", "report"]

    finished.set(iterations=chain())
    outcomes = speechalign_loop()
    assert {name for name, how in outcomes.items() if how == "restored"} == {"align@2", "evaluate@2", "report"}
    assert finished.calls() == []


@pytest.mark.parametrize("texts", ["recorded", "long"])
def test_an_iteration_that_is_worse_on_either_set_of_dev_stops_those_that_build_on_it(finished, texts):
    iterations = chain(first=WORSE)
    iterations["1"]["texts"] = texts
    finished.set(iterations=iterations)
    outcomes = speechalign_loop()
    assert outcomes["align@2"] == outcomes["evaluate@2"] == "skipped"
    # Iteration 2 of the run before was built on another iteration 1: the report must not show it.
    assert (finished.folder / "reports/index.html").read_text() == "0 1"
    assert not (finished.folder / "runs/2/policy").exists()
    # Only what goes ahead of the judgement ran while it was judged.
    assert sorted(finished.calls()) == ["evaluate@1", "policy@1", "report", "sample@2"]

    outcomes = speechalign_loop()
    assert set(outcomes.values()) == {"unchanged", "skipped"}

    assert speechalign_loop(early_stop=False)["align@2"] == "ran"
    assert (finished.folder / "reports/index.html").read_text() == "0 1 2"


def test_a_branch_stops_though_another_one_was_worse_first(finished):
    branches = {"1": {"prev": "0", "rise": WORSE}, "2": {"prev": "0", "rise": WORSE}, "3": {"prev": "2", "rise": 0.0}}
    finished.set(iterations=branches)
    outcomes = speechalign_loop(jobs=1)
    assert outcomes["evaluate@1"] == outcomes["evaluate@2"] == "ran"
    assert outcomes["align@3"] == outcomes["evaluate@3"] == "skipped"
    assert (finished.folder / "reports/index.html").read_text() == "0 1 2"


def test_a_failure_stops_what_depends_on_it_and_is_told_in_the_stages_words(finished):
    message = "params.yaml has 2 problems:\n  align.lr: should be positive (found -1)\n  seed: missing"
    finished.set(iterations=chain(first=0.001), trouble={"policy@1": {"message": message}})
    state = speechalign_loop(return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert state.message == f"align@1: {message}"
    assert finished.calls() == ["policy@1"]
    # The stage that failed left nothing half-written, and the next run goes on from there.
    finished.set(trouble={})
    assert speechalign_loop(targets=["align@1"])["align@1"] == "ran"
    assert finished.calls() == ["policy@1"]


def test_a_failure_is_tried_again_as_often_as_asked(finished, monkeypatch):
    monkeypatch.setattr(schedule, "RETRY_DELAY_SECONDS", 0)
    trouble = {"policy@1": {"message": "the disk was away for a moment", "leaves": "tried", "unless": "tried"}}
    finished.set(iterations=chain(first=0.001), trouble=trouble)
    assert speechalign_loop(targets=["align@1"], retries=1)["align@1"] == "ran"
    assert finished.calls() == ["policy@1", "policy@1"]


def test_a_stage_over_its_time_limit_fails_and_nothing_of_it_is_left(finished):
    finished.set(iterations=chain(first=0.001), trouble={"policy@1": {"sleep": True}})
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    state = speechalign_loop(stage_timeout_seconds=10, return_state=True)
    assert state.is_failed()
    assert "align@1: ran longer than 10 s" in state.message
    gone([child.pid for child in psutil.Process().children(recursive=True) if child.pid not in before])
    gone(finished.pids())


def test_a_wrong_target_is_named(toy):
    state = speechalign_loop(targets=["nothing"], return_state=True)
    assert state.is_failed()
    assert "no stage 'nothing'" in state.message


def test_evaluation_alone_judges_what_is_there_and_trains_nothing(finished, caplog):
    (finished.folder / "runs/1/metrics.json").unlink()
    (finished.folder / "runs/2/policy").unlink()
    outcomes = speechalign_evaluate()
    assert outcomes["evaluate@1"] == "restored"
    assert outcomes.keys() == {"evaluate_sft", "evaluate@1", "report"}
    assert finished.calls() == ["report"]
    assert "left out: evaluate@2 needs runs/2/policy" in caplog.text

    state = speechalign_evaluate(iterations=["2"], return_state=True)
    assert state.is_failed()
    assert "evaluate@2 needs runs/2/policy" in state.message


def test_evaluation_alone_judges_a_whole_chain_of_policies_that_nobody_judged(toy):
    toy.set(iterations={**chain(), "3": {"prev": "2", "rise": 0.0}})
    speechalign_loop(targets=["align"])
    assert not (toy.folder / "runs/0/metrics.json").exists()
    toy.calls()
    assert set(speechalign_evaluate().values()) == {"ran"}
    assert toy.calls() == ["evaluate@0", "evaluate@1", "evaluate@2", "evaluate@3", "report"]


def test_a_finished_run_whose_artifacts_nobody_takes_is_finished_and_shows_its_table(
    finished, prefect_api, monkeypatch, capsys
):
    def refuse(_: object) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(results, "publish", refuse)
    finished.set(prepare={"words": 5})
    assert speechalign_loop(return_state=True).is_completed()
    assert "10.0 [9.0, 11.0]" in capsys.readouterr().out


def test_a_stage_runs_again_where_asked_and_what_it_makes_decides_about_the_rest(finished):
    outcomes = speechalign_loop(again=["prepare"])
    assert finished.calls() == ["prepare"]
    assert outcomes.pop("prepare") == "ran"
    assert set(outcomes.values()) == {"unchanged"}  # the same data as before


def test_a_run_whose_servers_are_away_at_its_end_waits_for_prefects_and_keeps_mlflows_points(
    finished, prefect_api, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.01)
    write_json(UNSENT / "a.json", {"points": []})
    check, asked = server._check, []

    def away_at_first(address: str) -> None:
        asked.append(address)
        if len(asked) < 3:
            raise server.ServerError("away")
        check(address)

    monkeypatch.setattr(server, "_check", away_at_first)
    assert speechalign_loop(return_state=True).is_completed()
    assert len(asked) == 3 and (UNSENT / "a.json").is_file()
