"""The loop on a tiny random checkpoint of each family whose codec there is; no stage knows which family it is."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from lhotse import CutSet, Recording
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from model.codecs.base import Codec
from model.codecs.registry import load_codec
from model.layouts.layout import Layout
from model.layouts.sampled import given_starts, salvaged
from model.layouts.tokenizer import Tokenizer
from model.pairs import own_samples
from model.pairs.candidate import Preference
from tasks.align import __main__ as align
from tasks.ceiling import __main__ as ceiling
from tasks.common import paths, schemas
from tasks.common.files import read_table, write_table
from tasks.evaluate import __main__ as evaluate
from tasks.gap import __main__ as gap
from tasks.nar import __main__ as sft_nar
from tasks.policy import __main__ as sft_ar
from tasks.prefer import __main__ as prefer
from tasks.register import __main__ as register
from tasks.register import speech
from tasks.sample import __main__ as sample
from tests.conftest import merge
from tests.model.codecs import foreign, voiced
from tests.model.layouts.families import discourage_text, make_tokenizer, small_layout
from tests.tasks.register import tiny

START = "start"
CODECS = {"llasa": "xcodec2", "neutts": "neucodec", "orpheus": "snac"}
VOICED = {"spark": "bicodec", "cosyvoice2": "s3tokenizer_v2"}  # codecs of other packages
CODECS |= {**VOICED, "outetts": "dac of two levels"}
# A voice by name; a codec of another package with a recording's voice; no voice, words between codes; a chat template.
REGISTERED = ("orpheus", "spark", "outetts", "llasa")
QWEN = ("neutts", "spark", "cosyvoice2")
WORDS = ("one two", "two three", "three one", "two one")
# The tiny SNAC has 250 frames per second, DAC 800, the others 50.
SECONDS = {"snac": 0.13, "dac of two levels": 0.1}

# What a user of a small corpus would set, and little work.
SETTINGS: dict[str, Any] = {
    "prompt_frames": 4,
    "texts": {"sample": "corpus", "long": "none"},
    "decoding": {"max_frames_per_character": 0.6},
    "sample": {"prompts": 4, "draws": 1},
    "prefer": {"source": "golden", "replay": 0.0},
    "align": {"method": "dpo", "parameters": "all", "lr": 3e-4, "epochs": 1, "batch_pairs": 4, "micro_pairs": 4},
    "evaluate": {"draws": 1, "dev_draws": 1, "loop_draws": 1, "temperatures": [1.0], "audio_samples": 1},
}
GRPO = {"method": "grpo", "nll_weight": 0.0}
GRPO |= {"grpo": {"rollouts": 1, "prompts": 2, "draws": 2, "similarity_weight": 0.0}}


def write_checkpoint(family: str, codec: Codec, folder: Path) -> None:
    """Write a random model with its family's token names, and the layout for the tiny codec."""
    size = codec.codebook_size
    make_tokenizer(family, folder, size, compact=True)

    def fit(content: dict) -> None:
        content["codec"] |= {"sample_rate": codec.encode_rate, "frame_rate": codec.frame_rate}

    small_layout(family, folder / "layout.yaml", size, fit)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"num_key_value_heads": 1, "vocab_size": Tokenizer.load(folder).size, "max_position_embeddings": 2048}
    torch.manual_seed(0)
    model: PreTrainedModel
    model = Qwen2ForCausalLM(Qwen2Config(**shape)) if family in QWEN else LlamaForCausalLM(LlamaConfig(**shape))
    if family == "outetts":
        discourage_text(model, Tokenizer.load(folder))
    model.save_pretrained(folder)


def write_split(split: str, codec: Codec, seconds: float) -> None:
    """Write golden audio, cuts, codes and the pool of texts of four utterances of two speakers."""
    Path(paths.AUDIO, split).mkdir(parents=True)
    rows, cuts = [], []
    for i, text in enumerate(WORDS):
        path = Path(paths.AUDIO, split, f"{i}.flac")
        wave = 0.3 * np.sin(np.arange(int((seconds + i / 50) * codec.sample_rate)) * (i + 1) / 30)
        soundfile.write(path, wave, codec.sample_rate)
        cut = Recording.from_file(path).to_cut().with_id(f"{split}-{i}")
        samples = torch.from_numpy(cut.load_audio()[0])
        [codes] = codec.encode([samples])
        rows.append({"id": cut.id, "speaker": f"s{i % 2}", "text": text, "seen": True, "seconds": cut.duration})
        rows[-1] |= {"codes": codes.tolist(), "voice": codec.voice_of(samples) or None}
        cuts.append(cut)
    write_table(paths.codes(split), rows, schemas.CODES)
    pool = [{name: row[name] for name in ("id", "text", "speaker", "seen")} for row in rows] if split == "train" else []
    pool = [{**row, "prompt_id": rows[(i + 2) % 4]["id"]} for i, row in enumerate(pool)]
    write_table(paths.texts(split), pool, schemas.TEXTS)
    paths.CUTS.mkdir(exist_ok=True)
    CutSet.from_items(cuts).to_file(paths.cuts(split))


def configure(**changes: Any) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    merge(content, changes)
    Path("params.yaml").write_text(yaml.safe_dump(content))


def save_codec(family: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the family's codec to ``folder``; one of another package is installed first."""
    kind = CODECS[family]
    if family not in VOICED:
        foreign.save(kind, folder)
        return
    voiced.install({kind: voiced.TINY}, folder.parent / "site", monkeypatch)
    voiced.save(kind, folder, voice_codes=family == "spark")


def workspace(family: str, voice: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out a loop that has come as far as ``texts``; the working directory is ``folder``."""
    if CODECS[family] == "snac":
        pytest.importorskip("snac", reason="needs the package snac (an extra)")
    tiny.params(folder, iterations=1)
    configure(**SETTINGS, policy={"start": START, "voice": voice})
    save_codec(family, folder / "checkpoints/codec", monkeypatch)
    tiny.write_recognizer(folder)
    codec = load_codec("checkpoints/codec")
    write_checkpoint(family, codec, folder / START)
    for split in ("train", "dev", "test"):
        write_split(split, codec, SECONDS.get(CODECS[family], 0.4))


@pytest.mark.parametrize(
    ("family", "voice"),
    [
        *[("llasa", "audio"), ("neutts", "none"), ("orpheus", "speaker"), ("spark", "audio")],
        *[("cosyvoice2", "audio"), ("outetts", "none")],
    ],
    ids=lambda value: value,
)
def test_the_loop_aligns_a_checkpoint_of_its_family(
    family: str,
    voice: str,
    sqlite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    workspace(family, voice, tmp_path, monkeypatch)
    if family == "outetts":  # its recordings are not aligned, so both sides are its own, told apart by chance here
        configure(prefer={"source": "own_samples"}, sample={"draws": 2})
        monkeypatch.setattr(own_samples, "prefer", lambda drawn, **_: Preference(drawn[0], drawn[1], "by chance"))
    sft_ar.main()
    sft_nar.main()
    assert [file.name for file in paths.NAR.iterdir()] == ["none.json"]
    evaluate.main("0")
    if voice == "none" or family in VOICED:  # once each for a codec with and without voices: they take no policy
        ceiling.main()
        index = json.loads((paths.CEILING / "audio/index.json").read_text())
        assert {row["prompt_text"] for row in index} <= set(WORDS)
        gap.main("0")
        assert "no NAR" in json.loads(paths.gap("0").read_text())["why"]

    sample.main("1")
    prefer.main("1")
    layout = given_starts(Layout.of_policy(START))
    drawable = {*layout.drawable.codes, *layout.drawable.stops}
    for row in read_table(paths.samples("1"), schemas.SAMPLES):
        assert row["tokens"] and set(row["tokens"]) <= drawable
        if family != "outetts":
            assert layout.read(row["tokens"]).speech.levels  # each code in its slot
    pairs = read_table(paths.pairs("1"), schemas.PAIRS)
    assert len(pairs) == 4
    given = layout.tokenizer.decode(pairs[0]["context"])
    shown = {"outetts": r"<\|text_start\|>", "neutts": r"<\|TEXT_PROMPT_START\|>", "orpheus": "s[01]: "}
    shown["spark"] = r"<\|start_semantic_token\|><\|bicodec_semantic_"
    assert re.search(shown.get(family, r"<\|s_"), given)
    levels = [salvaged(layout, pair["chosen"]).levels for pair in pairs]
    assert {len(found) for found in levels} == {load_codec("checkpoints/codec").n_codebooks}
    assert any(len(level) for found in levels for level in found)

    align.main("1")
    dpo = weights(paths.ar("1"))
    assert any(not torch.equal(value, dpo[name]) for name, value in weights(Path(START)).items())
    evaluate.main("1")
    table = json.loads(paths.metrics("1").read_text())["scores"]["test"]["best"]["recorded"]["all"]
    assert "wer" in table and ("similarity" in table) is (voice != "none")

    configure(align=GRPO, iterations={"1": {"prev": "0", "beta": None}})
    monkeypatch.setattr("tasks.align.grpo.wer_of", lambda episode, judged: int(sum(episode.tokens)) % 5)  # ranks babble
    align.main("1")
    assert any(not torch.equal(value, dpo[name]) for name, value in weights(paths.ar("1")).items())
    assert Layout.of_policy(paths.ar("1")).spec == layout.spec
    if family in REGISTERED:
        check_registered(voice, monkeypatch)
        assert "row 0" not in capfd.readouterr().err  # MLflow tries the version on its input example


def check_registered(voice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register both policies, synthesize with the last as MLflow loads it, and load its folder as transformers does."""
    register.main()
    monkeypatch.delitem(sys.modules, voiced.__name__)  # a process that loads a version has imported no plug-in before
    prompt = speech.VoiceOf(None, speaker="s0" if voice == "speaker" else "")
    if voice == "audio":
        prompt = speech.VoiceOf(Path(paths.AUDIO, "test/0.flac").read_bytes(), "one two")
    with speech.code_of_the_version():
        loaded = speech.load("models:/speechalign-policy@candidate")
        spoken = speech.synthesize(loaded, "two one", prompt, seed=1)
        folder = loaded.unwrap_python_model().voice.policy.folder
    assert len(spoken.samples) and np.isfinite(spoken.samples).all()

    assert (folder / "tokenizer.json").read_bytes() == Path(START, "tokenizer.json").read_bytes()
    theirs, given = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(START)
    assert theirs.get_vocab() == given.get_vocab() and theirs("two one").input_ids == given("two one").input_ids
    trained = weights(paths.ar("1"))
    assert all(torch.equal(value, trained[name]) for name, value in weights(folder).items())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return what plain transformers loads."""
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.mark.parametrize(
    ("family", "voice", "changes", "message"),
    [
        ("outetts", "none", {}, "prefer.source is golden, but .* words stand between the codes"),
        ("llasa", "audio", {"policy": {"layout": "orpheus"}}, "layout orpheus: "),
        ("llasa", "audio", {"policy": {"layout": "own"}}, "layout own"),
        (
            "llasa",
            "audio",
            {"models": {"codec": "other"}},
            "is for the codec .*, but models.codec is other, a dac",
        ),
        ("orpheus", "speaker", {"policy": {"voice": "audio"}}, "takes no recording as voice prompt"),
        ("llasa", "audio", {"policy": {"layout": "spark"}}, "layout spark"),
        ("cosyvoice2", "none", {}, "policy.voice is none, but models.codec .* decodes in the voice of a recording"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused_before_anything_is_written(
    family: str,
    voice: str,
    changes: dict,
    message: str,
    sqlite: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace(family, voice, tmp_path, monkeypatch)
    foreign.save("dac", tmp_path / "other")
    configure(**changes)
    with pytest.raises(SystemExit):
        sft_ar.main()
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert not Path("runs/0").exists()
