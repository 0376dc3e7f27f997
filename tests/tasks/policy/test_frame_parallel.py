"""The loop on tiny random frame-parallel checkpoints; no stage knows which family it is."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import yaml
from transformers import CsmForConditionalGeneration, DiaForConditionalGeneration, PreTrainedModel

from model.codecs.registry import load_codec
from model.errors import InputError
from model.layouts.layout import Layout
from tasks.align import __main__ as align
from tasks.ceiling import __main__ as ceiling
from tasks.code.__main__ import check_start
from tasks.common import params, paths, schemas
from tasks.common.files import read_table
from tasks.evaluate import __main__ as evaluate
from tasks.gap import __main__ as gap
from tasks.nar import __main__ as sft_nar
from tasks.policy import __main__ as sft_ar
from tasks.prefer import __main__ as prefer
from tasks.register import __main__ as register
from tasks.sample import __main__ as sample
from tests.model.codecs import foreign
from tests.model.frames import tiny as tiny_frames
from tests.model.frames import tiny_dia
from tests.tasks.policy.test_families import GRPO, SETTINGS, START, configure, write_split
from tests.tasks.register import tiny


def write_csm(codec: str, folder: Path) -> type[PreTrainedModel]:
    """Write a random CSM whose layout is for the codec; return the class that loads it."""
    foreign.save("mimi", Path(codec))
    tiny_frames.save(tiny_frames.csm(positions=512), folder)
    fit_codec(codec, folder)
    return CsmForConditionalGeneration


def write_dia(codec: str, folder: Path) -> type[PreTrainedModel]:
    """Write a random Dia, as above."""
    foreign.save("dac", Path(codec))
    tiny_dia.save(tiny_dia.dia(), folder)
    fit_codec(codec, folder)
    return DiaForConditionalGeneration


def fit_codec(codec: str, folder: Path) -> None:
    content, loaded = yaml.safe_load((folder / "layout.yaml").read_text()), load_codec(codec)
    content["codec"] |= {"sample_rate": loaded.encode_rate, "frame_rate": loaded.frame_rate}
    (folder / "layout.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


FAMILIES = {"csm": write_csm, "dia": write_dia}
SECONDS = {"csm": 0.4, "dia": 0.13}  # the tiny DAC has 800 frames per second
# The policy; the rest stays as it is.
TRAINED = {"csm": ("backbone_model.", "lm_head.", "embed_text_tokens."), "dia": ("",)}


def workspace(family: str, folder: Path) -> type[PreTrainedModel]:
    """Lay out a loop that has come as far as ``texts``; the working directory is ``folder``."""
    tiny.params(folder, iterations=1)
    configure(**SETTINGS, policy={"start": START, "voice": "audio"})
    loads = FAMILIES[family]("checkpoints/codec", folder / START)
    tiny.write_recognizer(folder)
    for split in ("train", "dev", "test"):
        write_split(split, load_codec("checkpoints/codec"), SECONDS[family])
    return loads


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loop_aligns_a_frame_parallel_checkpoint(
    family: str, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = workspace(family, tmp_path)
    sft_ar.main()
    sft_nar.main()
    assert [file.name for file in paths.NAR.iterdir()] == ["none.json"]
    evaluate.main("0")
    if family == "csm":  # once: they take no policy
        ceiling.main()
        gap.main("0")
        assert "no NAR" in json.loads(paths.gap("0").read_text())["why"]

    sample.main("1")
    prefer.main("1")
    layout = Layout.of_policy(START)
    books = len(layout.code_tokens.slots)
    for row in read_table(paths.samples("1"), schemas.SAMPLES):
        assert row["tokens"] and len(row["tokens"]) % books == 0
        assert len(row["logprobs"]) == len(row["behavior"]) == len(row["tokens"]) + row["finished"]
        layout.read(row["tokens"])
    pairs = read_table(paths.pairs("1"), schemas.PAIRS)
    assert len(pairs) == 4
    assert all(np.isfinite([pair["chosen_logprob"], pair["rejected_logprob"]]).all() for pair in pairs)

    align.main("1")
    start, dpo = (loads.from_pretrained(folder).state_dict() for folder in (START, paths.ar("1")))
    assert any(not torch.equal(value, dpo[name]) for name, value in start.items())
    evaluate.main("1")
    table = json.loads(paths.metrics("1").read_text())["scores"]["test"]["best"]["recorded"]["all"]
    assert "wer" in table and "similarity" in table

    configure(align=GRPO, iterations={"1": {"prev": "0", "beta": None}})
    monkeypatch.setattr("tasks.align.grpo.wer_of", lambda episode, judged: int(sum(episode.tokens)) % 5)  # ranks babble
    align.main("1")
    grpo = loads.from_pretrained(paths.ar("1")).state_dict()
    assert any(not torch.equal(value, dpo[name]) for name, value in grpo.items())
    assert all(torch.equal(value, grpo[name]) for name, value in start.items() if not name.startswith(TRAINED[family]))
    for name in ("tokenizer_config.json", "generation_config.json"):
        assert (paths.ar("1") / name).read_bytes() == Path(START, name).read_bytes()
    assert Layout.of_policy(paths.ar("1")).spec == layout.spec

    evaluate.main("1")
    register.main()
    assert [v["verdict"] for v in json.loads(paths.REGISTRATION.read_text())["versions"]]
    version = mlflow.pyfunc.load_model("models:/speechalign-policy@candidate")
    row = {"text": ["one two"], "prompt_audio": [tiny.write_prompt(tmp_path / "voice.wav").read_bytes()]}
    spoken = version.predict({**row, "prompt_text": ["two"]}, params={"seed": 3})
    assert np.isfinite(spoken["samples"][0]).all() and len(spoken["samples"][0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"align": {"method": "ppo", "nll_weight": 0.0}}, "align.method ppo trains a reward model"),
        ({"align": {"method": "best_of_n", "nll_weight": None}}, "align.method best_of_n trains a reward model"),
        ({"align": {"parameters": "final_norm", "lr": 0.1}}, "set align.parameters to all or lora, found final_norm"),
        ({"sample": {"engine": "http://127.0.0.1:8000"}}, "sample.engine names a vLLM server"),
    ],
)
def test_what_needs_one_token_stream_is_refused_by_the_first_stage(
    family: str, changes: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.params(tmp_path, iterations=1)
    configure(**SETTINGS, policy={"start": START, "voice": "audio"})
    FAMILIES[family]("checkpoints/codec", tmp_path / START)
    check_start(params.load())
    configure(**changes)
    with pytest.raises(InputError, match=f"is a {family}, which writes whole frames.*{message}"):
        check_start(params.load())
