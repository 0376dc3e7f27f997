"""``speechalign plan``: its numbers against runs, schedules and checkpoints; and that it starts nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM
from typer import Typer
from typer.testing import CliRunner, Result

from model.errors import CheckpointError
from model.gap.two_sample import FOLDS
from profiles.corpus_size import Size, size_of
from profiles.estimate import LEAST_IN_GAP, Plan
from profiles.plan import _time, main, read_speeds
from tasks.common import params, yaml12
from tasks.common.epochs import Epochs
from tests.conftest import REPOSITORY
from tests.model.frames import tiny, tiny_dia
from tests.model.layouts.families import small_layout
from tests.prepared import folder_corpus, good_rows

APP = Typer()
APP.command()(main)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "profiles", "checkpoints"):
        source = REPOSITORY / name
        shutil.copy(source, tmp_path) if source.is_file() else (tmp_path / name).symlink_to(source)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(APP, list(arguments))


def plan_of(settings: params.Params, size: Size | None = None) -> Plan:
    speeds = read_speeds()
    return Plan(settings, size or size_of(settings, speeds), speeds, "cpu")


def test_the_demos_plan_is_what_its_run_found() -> None:
    plan = plan_of(params.load())
    rows = {row.stage: row for row in plan.rows()}
    assert plan.train == 2400  # 2,398 were used
    assert rows["align@1"].steps == 40  # 320 pairs, twice, 16 at a time
    assert rows["prefer@1"].utterances == 2400
    assert rows["prefer@1"].hours * 3600 == pytest.approx(111, rel=0.35)  # texts of five words are read faster
    assert rows["sft_ar"].hours == 0 and rows["sft_ar"].speed == "adopted: checkpoints/policy"


def test_every_stage_of_the_graph_has_a_row() -> None:
    settings = params.load()
    gap = settings.gap.model_copy(update={"train_synthetic_nar": True})
    rows = {row.stage.partition("@")[0] for row in plan_of(settings.model_copy(update={"gap": gap})).rows()}
    assert rows == set(yaml12.loads((REPOSITORY / "dvc.yaml").read_text())["stages"])


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "fast", None])
@pytest.mark.parametrize("name", ["cpu.judge", "cuda.train_flops", "gap", "fixed.report"])
def test_a_speed_that_none_can_be_is_refused_with_its_name(tmp_path: Path, name: str, value: object) -> None:
    content = yaml12.loads((REPOSITORY / "results/speeds.yaml").read_text())
    block = content[name.partition(".")[0]] if "." in name else content
    block[name.rpartition(".")[2]] = value
    file = tmp_path / "speeds.yaml"
    file.write_text(yaml12.dumps(content))
    with pytest.raises(params.ParamsError, match=f"{name}: "):
        read_speeds(file)


def test_parameters_are_those_of_the_checkpoints() -> None:
    plan = plan_of(params.load())
    for name, count in (("ar", plan.ar), ("nar", plan.nar)):
        with safe_open(f"checkpoints/policy/{name}/model.safetensors", "np") as file:
            assert count == sum(int(np.prod(file.get_slice(key).get_shape())) for key in file.keys())  # noqa: SIM118


def save_llama(folder: Path) -> Path:
    LlamaForCausalLM(LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=32, num_attention_heads=2,
                                 num_hidden_layers=3)).save_pretrained(folder)  # fmt: skip
    small_layout("orpheus", folder / "layout.yaml", 16)
    return folder


STARTS = {
    "csm": (lambda folder: tiny.save(tiny.csm(), folder), 25, 1),
    "dia": (lambda folder: tiny_dia.save(tiny_dia.dia(), folder), 25, 1),
    "orpheus": (save_llama, 11.71875, 7),
}


def with_start(start: str, codec: str | None = None, layout: str | None = None) -> params.Params:
    settings = params.load()
    policy = settings.policy.model_copy(update={"start": start, "layout": layout})
    models = settings.models.model_copy(update={"codec": codec} if codec else {})
    return settings.model_copy(update={"policy": policy, "models": models})


def test_a_policy_that_writes_all_levels_has_no_nar_and_no_gap(folder: Path) -> None:
    save_llama(folder / "start")
    plan = plan_of(with_start("start", "hubertsiuzdak/snac_24khz"))
    rows = {row.stage: row for row in plan.rows()}
    assert plan.nar == 0 and rows["sft_nar"].speed == "none: the policy writes all levels"
    assert (rows["gap_sft"].hours, rows["gap@1"].speed) == (0, "left out: there is no NAR")
    assert rows["prefer@1"].pairs == plan.p.sample.prompts  # the most there can be
    assert plan.notes == ["pairs: at most one per text; how many texts give one is not known of this policy"]


def test_frozen_weights_need_no_moments(folder: Path) -> None:
    save_llama(folder / "start")
    settings = with_start("start", "hubertsiuzdak/snac_24khz")
    lora = settings.align.model_copy(update={"parameters": "lora"})
    disks = [
        next(row for row in plan_of(s).rows() if row.stage == "align@1").disk * 2**30
        for s in (settings, settings.model_copy(update={"align": lora}))
    ]
    plan = plan_of(settings)
    assert disks[0] == pytest.approx(16 * plan.ar)
    assert disks[1] == pytest.approx(4 * plan.ar + 16 * 18 * lora.lora.rank * 3 * 16)


def test_a_policy_that_is_not_here_is_said_to_be_guessed(folder: Path) -> None:
    plan = plan_of(with_start("my-model", "hubertsiuzdak/snac_24khz", layout="orpheus"))
    assert plan.notes[0] == "my-model is not on this machine: planned with the size of params.yaml's block ar"
    assert (plan.rate, plan.positions_per_frame, plan.nar) == (11.71875, 7, 0)


@pytest.mark.parametrize("family", STARTS)
def test_an_adopted_models_size_is_that_of_its_folder(family: str, folder: Path) -> None:
    save, rate, positions = STARTS[family]
    start = save(folder / "start")
    settings = params.load()
    plan = plan_of(settings.model_copy(update={"policy": settings.policy.model_copy(update={"start": "start"})}))
    text = AutoConfig.from_pretrained(start).get_text_config()
    assert (plan.layers, plan.width) == (text.num_hidden_layers, text.hidden_size)
    assert plan.ar == sum(weight.size for weight in load_file(start / "model.safetensors").values())
    assert (plan.rate, plan.positions_per_frame) == (rate, positions)
    assert all(np.isfinite(row.hours) and row.memory > 0 for row in plan.rows())


def test_damaged_weights_are_named(folder: Path) -> None:
    start = save_llama(folder / "start")
    whole = (start / "model.safetensors").read_bytes()
    (start / "model.safetensors").write_bytes(whole[:100])
    settings = params.load()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or half a download"):
        plan_of(settings.model_copy(update={"policy": settings.policy.model_copy(update={"start": "start"})}))


def test_the_steps_of_sft_are_those_of_its_schedule() -> None:
    settings = params.load()
    settings = settings.model_copy(update={"policy": settings.policy.model_copy(update={"start": "train"})})
    size = Size(3000 + settings.prepare.dev_utterances + settings.prepare.test_utterances, 2.0, 20.0, "made")
    row = next(row for row in plan_of(settings, size).rows() if row.stage == "sft_ar")
    lengths = np.random.default_rng(0).normal(20 + 100 + settings.prompt_frames + 3, 20, 3000).astype(int)
    epochs, capacity = settings.sft_ar.epochs, settings.sft_ar.batch_tokens
    assert row.steps == pytest.approx(len(Epochs(lengths, capacity, [[e] for e in range(epochs)])), rel=0.15)


def test_a_folder_is_counted_and_only_headers_are_read(folder: Path) -> None:
    corpus = folder / "corpus"
    folder_corpus(corpus, [*good_rows(corpus), ("gone", "gone.wav", "no audio", "s0")])
    done = call("folder", "--path", str(corpus))
    assert done.exit_code == 0, done.output
    assert "folder: 31 utterances, 0.0 h (counted; length from 30 of 31 headers)" in done.output
    settings = params.load()
    prepare = settings.prepare.model_copy(update={"corpus": "folder", "path": str(corpus)})
    size = size_of(settings.model_copy(update={"prepare": prepare}), {})
    assert size.seconds == pytest.approx(0.3, abs=0.01)


def of_a_folder(corpus: Path, **prepare: int) -> params.Params:
    settings = params.load()
    named = settings.prepare.model_copy(update={"corpus": "folder", "path": str(corpus), **prepare})
    texts = settings.texts.model_copy(update={"sample": "corpus", "long": "none"})
    return settings.model_copy(update={"prepare": named, "texts": texts})


def test_an_iteration_samples_no_more_texts_than_train_has(folder: Path) -> None:
    folder_corpus(folder / "corpus", good_rows(folder / "corpus"))
    plan = plan_of(of_a_folder(folder / "corpus", unseen_speakers=0, test_utterances=10, dev_utterances=4))
    rows = {row.stage: row for row in plan.rows()}
    assert 0 < plan.train <= 20
    assert rows["sample@1"].utterances == plan.train * plan.p.sample.draws
    assert plan.notes == [f"an iteration samples {plan.train} texts, all there are: fewer than sample.prompts"]


def test_a_corpus_that_prepare_will_refuse_is_said_to_be_too_small_with_what_to_set(folder: Path) -> None:
    folder_corpus(folder / "corpus", good_rows(folder / "corpus"))
    done = call("folder", "--path", str(folder / "corpus"))
    output = " ".join(done.output.split())
    assert done.exit_code == 0
    assert "note: prepare will refuse this corpus: prepare." in output
    assert "These values of prepare would work: unseen_speakers: " in output


def test_too_few_utterances_for_the_gap_are_said_before_the_trainings() -> None:
    assert LEAST_IN_GAP == 2 * FOLDS
    settings = params.load()
    for few, said in ((LEAST_IN_GAP - 1, True), (LEAST_IN_GAP, False)):
        prepare = settings.prepare.model_copy(update={"test_utterances": few})
        notes = plan_of(settings.model_copy(update={"prepare": prepare})).notes
        assert any("gap will refuse this run: prepare.test_utterances is 9" in note for note in notes) == said


def test_a_folder_without_readable_audio_has_no_plan(folder: Path) -> None:
    corpus = folder / "corpus"
    folder_corpus(corpus, [("gone", "gone.wav", "one", "s0"), ("noise", "noise.wav", "two", "s0")])
    (corpus / "noise.wav").write_bytes(bytes(100))
    done = call("folder", "--path", str(corpus))
    assert done.exit_code == 1
    assert "of its 2 utterances 2 have audio and text, and none of the 2 audio files" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, ""), (0.4, "0.4 s"), (80, "80 s"), (600, "10 min"), (3600 * 30, "30 h"), (8.64e7, "1,000 days")],
)
def test_a_time_has_the_unit_that_a_person_would_name(seconds: float, shown: str) -> None:
    assert _time(seconds / 3600) == shown


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", sorted({p.stem for p in (REPOSITORY / "profiles").glob("*.yaml")} - {"fsdd_models"}))
def test_every_profile_has_a_plan_and_nothing_is_written(folder: Path, name: str, device: str) -> None:
    before = (folder / "params.yaml").read_bytes(), sorted(folder.iterdir())
    done = call(name, "--device", device)
    assert done.exit_code == 0, done.output
    assert "results/speeds.yaml" in done.output and "align@1" in done.output
    assert ("not measured" in done.output) == (device == "cuda")
    assert before == ((folder / "params.yaml").read_bytes(), sorted(folder.iterdir()))


def test_a_published_corpus_that_is_not_here_is_said_to_be_assumed() -> None:
    assert "292,367 utterances, 982.0 h (published; corpora is no folder)" in call("librispeech").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--device", "tpu"],
        ["folder", "--path", "profiles"],
        ["librispeech", "--path", "no/such/folder"],
        ["--path", "profiles"],
        ["fsdd_models"],
    ],
)
def test_bad_input_is_one_message(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert done.output.startswith("error: ")
