"""The stage that registers policies: versions, aliases and the gate, on a loop in miniature."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mlflow import MlflowClient
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient
from typer import Typer
from typer.testing import CliRunner

from model import policy
from model.judges.held_out import HeldOut
from model.judges.panel import Panel
from model.sampling import Decoding
from model.voice import Voice
from tasks.common import gate, paths
from tasks.common.engine import Workers
from tasks.common.evaluation import EvaluationSet, Judges
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.policy_evaluation import Studio, evaluate_policy, per_thread
from tasks.common.scores import table_of
from tasks.common.tracking.client import connect
from tasks.register import __main__ as register
from tasks.register import champion, say, speech, versions
from tests.tasks.register import tiny

CPU = torch.device("cpu")
NAME = "speechalign-policy"
GOOD, BETTER, BAD = tiny.judged(), tiny.judged(wer=0.1, seed=1), tiny.judged(wer=0.5, seed=2)


def aliases(client: MlflowClient) -> dict[str, int]:
    return {name: int(version) for name, version in client.get_registered_model(NAME).aliases.items()}


def test_without_samples_of_dev_nothing_is_decided(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path)
    nothing = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"dev_draws": 0})})
    with pytest.raises(DataError, match="dev_draws is 0"):
        register.register(nothing, CPU)


def test_every_iteration_is_a_version_and_the_gate_moves_the_champion(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path)
    tiny.write_loop(tmp_path, params, [GOOD, BETTER, BAD])
    report = register.register(params, CPU)

    client = connect()
    found = versions.all_versions(client, NAME)
    assert [version.tags["iteration"] for version in found] == ["0", "1", "2"]
    assert aliases(client) == {"champion": 2, "candidate": 3}
    assert [(v["version"], v["promoted"], v["champion_before"]) for v in report["versions"]] == [
        (1, True, None),
        (2, True, 1),
        (3, False, 2),
    ]
    assert "recorded WER not worse, against champion: +" in report["versions"][2]["reason"]
    assert [v["verdict"] for v in report["versions"]] == ["promoted", "promoted", "refused"]
    runs = [json.loads(paths.tracking(k).read_text())["run_id"] for k in "012"]
    assert [version.run_id for version in found] == runs
    wer = table_of(json.loads(paths.metrics("1").read_text()), set="recorded")["all"]["wer"]
    assert found[1].tags["recorded/wer"] == f"{wer['value']:.6g}"
    assert (found[1].tags["temperature"], found[1].tags["top_p"]) == ("0.5", "1")
    assert found[1].tags["ar_md5"].endswith(".dir")
    assert champion.stored_rows(found[1]) == BETTER

    # Again: the same report, no further version.
    assert register.register(params, CPU) == report
    assert len(versions.all_versions(client, NAME)) == 3


def test_new_policies_are_judged_old_decisions_stand(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [BETTER, BAD])
    first = register.register(params, CPU)
    assert first["champion"] == 1

    # Iteration 1 again, with other weights: a new version, judged; the others stay as they are.
    tiny.write_policy(tmp_path, "1", seed=9)
    tiny.write_evaluation(tmp_path, "1", tiny.judged(wer=0.02, seed=1), params)
    second = register.register(params, CPU)
    assert [v["version"] for v in second["versions"]] == [1, 3]
    assert second["versions"][0] == first["versions"][0]
    assert second["champion"] == 3

    # The rules change: version 3 is the champion and stays.
    strict = tiny.params(tmp_path, iterations=1, max_wer_increase=0.1)
    assert register.register(strict, CPU)["champion"] == 3


def test_no_champion_without_speech_at_a_natural_pace(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [tiny.judged(stretch=1.4)])
    report = register.register(params, CPU)
    assert report["champion"] is None
    assert "1.400, allowed [0.95, 1.05]" in report["versions"][0]["reason"]
    assert aliases(connect()) == {"candidate": 1}


def test_a_champion_judged_on_other_data_and_gone_from_disk_stops_the_gate_clearly(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [GOOD])
    register.register(params, CPU)
    connect().delete_registered_model_alias(NAME, "candidate")
    tiny.write_policy(tmp_path, "0", seed=5)
    tiny.write_evaluation(tmp_path, "0", tiny.judged(test_set="u"), params)
    for stored in (tmp_path / "mlartifacts").rglob("model.safetensors"):
        if "policy" in stored.parts:
            stored.unlink()
    with pytest.raises(DataError, match="champion v1 of speechalign-policy has no evaluation on the present dev"):
        register.register(params, CPU)
    assert aliases(connect()) == {"champion": 1}


def test_a_policy_that_only_its_own_judge_likes_is_refused_with_the_words(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    honest, gamed = tiny.judged(held_out_wer=0.3), tiny.judged(wer=0.05, held_out_wer=0.4, seed=1)
    tiny.write_loop(tmp_path, params, [honest, gamed])
    report = register.register(params, CPU)
    assert report["champion"] == 1
    assert "reward hacking suspected" in report["versions"][1]["reason"]
    tag = json.loads(connect().get_model_version(NAME, "2").tags["gate"])
    assert "confirmed by held-out judges, against champion: recorded WER: reward hacking suspected" in tag["reason"]


def test_a_former_champion_that_was_better_in_a_measure_is_compared_with(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=3)
    rows = [tiny.judged(wer=0.3), tiny.judged(wer=0.1), tiny.judged(wer=0.15, similarity=0.85, seed=1)]
    tiny.write_loop(tmp_path, params, [*rows, tiny.judged(wer=0.12, similarity=0.9, seed=2)])
    report = register.register(params, CPU)
    assert report["champion"] == 4, [v["reason"] for v in report["versions"]]
    against = [
        {check["rule"].partition("against ")[2].partition(":")[0] for check in v["checks"]} - {""}
        for v in report["versions"]
    ]
    assert against == [set(), {"champion"}, {"champion", "start"}, {"champion", "start", "the best so far"}]


def test_the_stored_table_of_a_champion_of_another_loop_is_used(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [BETTER])
    register.register(params, CPU)
    tiny.write_policy(tmp_path, "0", seed=5)
    tiny.write_evaluation(tmp_path, "0", BAD, params)
    report = register.register(params, CPU)
    assert report["champion"] == 1
    expected = gate.decide(BAD, gate.limits_of(params), champion=BETTER)
    assert report["versions"][0]["reason"] == expected.reason


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.6}, {"prompt_frames": 1}], ids=str)
def test_a_champion_without_a_comparable_table_is_evaluated_again_as_it_was_logged(
    sqlite: str, tmp_path: Path, changes: dict
):
    params = tiny.params(tmp_path, iterations=1)
    temperature = changes.get("temperature", 1.0)
    logged = params.model_copy(update={"prompt_frames": changes.get("prompt_frames", params.prompt_frames)})
    tiny.write_loop(tmp_path, logged, [[{**row, "temperature": temperature} for row in GOOD]])
    ar = policy.load(paths.ar("0"))
    ar.model.lm_head.weight.data *= 50  # untrained it is all but uniform, for any context and temperature
    policy.save(ar, paths.ar("0"))
    register.register(logged, CPU)
    tiny.write_recognizer(tmp_path)
    tiny.write_split(tmp_path, "dev")
    judges = per_thread(Judges(Panel(params.models.recognizer), HeldOut(None, None)))
    limit = params.decoding.max_frames_per_character

    def evaluate(settings: Params, temperature: float) -> list[dict]:
        dev = EvaluationSet.read("dev", settings)
        voice = Voice.load(paths.ar("0"), paths.NAR, settings.models.codec, CPU, settings.prompt_frames)
        decoding = Decoding(temperature, max_frames_per_character=limit)
        workers = Workers.here(settings, Studio(voice, judges), torch.device("cpu"))
        return evaluate_policy(workers, dev, decoding, settings.evaluate.dev_draws, settings, "dev").rows

    before = evaluate(logged, temperature)
    assert (evaluate(params, 1.0) == before) == (not changes)
    tiny.write_policy(tmp_path, "0", seed=5)
    tiny.write_evaluation(tmp_path, "0", evaluate(params, 1.0), params)
    candidate = versions.candidate_of("0", params)
    version = connect().get_model_version_by_alias(NAME, "champion")
    assert champion.rows_of(version, candidate, [candidate], params, CPU) == before


def test_a_missing_iteration_is_named(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=2)
    tiny.write_loop(tmp_path, params, [GOOD, BETTER, BAD])
    paths.metrics("2").unlink()
    assert register.iterations_of(params) == ["0", "1"]  # a loop that stopped early
    paths.metrics("0").unlink()
    with pytest.raises(DataError, match=r"iterations \['0', '2'\]"):
        register.iterations_of(params)


def test_from_a_server_another_process_elsewhere_loads_the_champion_and_speaks(
    mlflow_server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [GOOD])
    register.register(params, CPU)

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    tiny.write_prompt(elsewhere / "voice.wav")
    code = (
        "import mlflow, numpy as np\n"
        f"m = mlflow.pyfunc.load_model('models:/{NAME}@champion', model_config={{'device': 'cpu', 'batch_size': 1}})\n"
        "config = m.unwrap_python_model().config\n"
        "assert (config['device'], config['batch_size']) == ('cpu', 1), config\n"
        "voices = [open('voice.wav', 'rb').read()] * 2\n"
        "out = m.predict({'text': ['seven two', 'nine'], 'prompt_audio': voices}, params={'seed': 3})\n"
        "import model; print(model.__file__)\n"
        "np.savez('out.npz', rate=out['sample_rate'], **{str(i): s for i, s in enumerate(out['samples'])})\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert str(tiny.PROJECT) not in done.stdout  # its own copy of the code
    with np.load(elsewhere / "out.npz") as out:
        assert out["rate"].tolist() == [tiny.SAMPLE_RATE] * 2
        for name in ("0", "1"):
            assert out[name].size
            assert np.isfinite(out[name]).all()

    # The command gives the same speech as the model elsewhere.
    app = Typer()
    app.command()(say.main)
    arguments = ["seven two", "--prompt", str(elsewhere / "voice.wav"), "--seed", "3", "--out", "hello.wav"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    samples, rate = soundfile.read("hello.wav")
    assert rate == tiny.SAMPLE_RATE
    with np.load(elsewhere / "out.npz") as out:
        assert len(samples) == len(out["0"])


def test_mlflows_own_server_answers_with_audio(sqlite: str, tmp_path: Path):
    params = tiny.params(tmp_path, iterations=1)
    tiny.write_loop(tmp_path, params, [GOOD])
    register.register(params, CPU)
    voice = base64.b64encode(tiny.write_prompt(tmp_path / "voice.wav").read_bytes()).decode()
    with speech.code_of_the_version():
        client = TestClient(scoring_server.init(speech.load(f"models:/{NAME}@champion")))
        rows = {"columns": ["text", "prompt_audio"], "data": [["Seven, two!", voice], ["nine", voice]]}

        answer = client.post("/invocations", json={"dataframe_split": rows, "params": {"seed": 3}})
        refused = client.post("/invocations", json={"dataframe_split": {**rows, "data": [["7", voice]]}})

    assert answer.status_code == 200, answer.text
    for row in answer.json()["predictions"]:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(row["audio"])))
        assert rate == tiny.SAMPLE_RATE and len(samples) == len(row["samples"]) > 0
    assert refused.status_code == 400
