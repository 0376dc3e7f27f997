"""A whole loop in miniature: untrained AR, NAR and codec, and made-up evaluations, laid out as the stages lay them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from lhotse import CutSet, Recording
from whisper.model import ModelDimensions, Whisper

from model import nar, policy
from model.codecs import encodec
from model.codecs.registry import load_codec
from model.judges import asr
from tasks.common import paths, schemas, tracking
from tasks.common.files import write_json, write_table
from tasks.common.params import Params, load
from tasks.common.scores import tables

PROJECT = Path(__file__).parents[3]
CODEBOOK, SAMPLE_RATE = 16, 8000
DECODING = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_frames_per_character": 2.0}


def params(folder: Path, iterations: int = 2, **register: Any) -> Params:
    """The project's own params.yaml with tiny models, written to ``folder``."""
    content = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    content["models"] = {"codec": "checkpoints/codec", "recognizer": "checkpoints/whisper"}
    content["models"] |= {"held_out_recognizer": None, "held_out_speaker": None}
    content["evaluate"]["bootstrap_samples"] = 200
    content["compute"] |= {"device": "cpu", "threads": 1}  # two threads of small models wait for one another
    content["prompt_frames"] = 10
    content["decoding"]["max_frames_per_character"] = 2.0  # untrained models rarely end by themselves
    content["iterations"] = {str(k): {"prev": str(k - 1)} for k in range(1, iterations + 1)}
    content["register"].update(register)
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load(folder / "params.yaml")


def write_models(folder: Path) -> None:
    """Codec and NAR."""
    torch.manual_seed(0)
    config = encodec.CodecConfig(
        sample_rate=SAMPLE_RATE, ratios=(8, 5), n_filters=2, dimension=8, n_codebooks=2, codebook_size=CODEBOOK
    )
    encodec.save(encodec.build(config), config, folder / "checkpoints/codec")
    shape = nar.NarConfig(n_codebooks=2, codebook_size=CODEBOOK, layers=1, width=16, heads=2)
    nar.save(nar.Nar(shape), folder / paths.NAR)


def write_policy(folder: Path, iteration: str, seed: int, layout: str = "own") -> None:
    """An AR whose weights are those of ``seed``."""
    torch.manual_seed(seed)
    shape = policy.ArShape(layers=1, width=16, heads=2, max_positions=512)
    target = folder / paths.ar(iteration)
    target.parent.mkdir(parents=True, exist_ok=True)
    policy.save(policy.build(shape, CODEBOOK, layout=layout), target)


def write_recognizer(folder: Path) -> None:
    """A Whisper that has learnt nothing."""
    torch.manual_seed(0)
    sizes = {"n_audio_ctx": 250, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 1}
    sizes |= {"n_vocab": 51864, "n_text_ctx": 16, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1}
    model = Whisper(ModelDimensions(n_mels=80, **sizes))
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.1)  # Whisper leaves it as it finds the memory
    asr.save(model, folder / "checkpoints/whisper")


def write_split(folder: Path, split: str, n: int = 6, long: int = 2) -> None:
    """Golden audio, cuts and codes of ``n`` utterances of two speakers, and ``long`` texts without a recording."""
    codec = load_codec(str(folder / "checkpoints/codec"))
    (folder / paths.AUDIO / split).mkdir(parents=True)
    rows, cuts, texts = [], [], []
    for i in range(n):
        path = write_prompt(folder / paths.AUDIO / split / f"{i}.flac", seconds=1.0 + i / 10)
        cut = Recording.from_file(path).to_cut().with_id(f"{split[0]}{i:04d}")
        [codes] = codec.encode([torch.from_numpy(cut.load_audio()[0])])
        voice = {"speaker": f"s{i % 2}", "seen": i % 2 == 0}
        row = {"id": cut.id, "text": "one two", "seconds": cut.duration, **voice}
        rows.append(row | {"codes": codes.tolist()})
        cuts.append(cut)
        if i < long:
            texts.append({"id": f"{cut.id}-long", "text": "one two three four five", "prompt_id": cut.id, **voice})
    write_table(folder / paths.codes(split), rows, schemas.CODES)
    write_texts(split, texts, folder)
    (folder / paths.CUTS).mkdir(exist_ok=True)
    CutSet.from_items(cuts).to_file(folder / paths.cuts(split))


def write_texts(split: str, rows: list[dict[str, Any]], folder: Path = Path()) -> None:
    """The long set of a split: rows of ``schemas.TEXTS``."""
    write_table(folder / paths.texts(split), rows, schemas.TEXTS)


def write_prompt(path: Path, seconds: float = 1.0) -> Path:
    """A recording to take the voice from."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * time), SAMPLE_RATE)
    return path


def judged(
    n: int = 200,
    wer: float = 0.2,
    similarity: float = 0.8,
    stretch: float = 1.0,
    cut_off: int = 0,
    seed: int = 0,
    test_set: str = "t",
    held_out_wer: float | None = None,
    held_out_similarity: float | None = None,
    f0_spread: float | None = None,
    which: str = "recorded",
) -> list[dict[str, Any]]:
    """Rows of ``schemas.UTTERANCES`` with about these means; the chance in them is that of ``seed``.

    None: no such judge.
    """
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    return [
        {
            "id": f"{test_set}{i:04d}",
            "system": "policy",
            "set": which,
            "speaker": f"s{i % 40}",
            "seen": i % 2 == 0,
            "text": "seven two nine",
            "prompt_id": f"{test_set}{(i + 7) % n:04d}",
            "draw": 0,
            "seed": i,
            "decoding": "best",
            "temperature": 0.5,
            "top_k": 0,
            "top_p": 1.0,
            "finished": i >= cut_off,
            "hypothesis": "seven two nine",
            "word_errors": int(rng.binomial(3, wer)),
            "words": 3,
            "deletions": 0,
            "insertions": 0,
            "spoken_words": 3,
            "folded_word_errors": None,
            "folded_words": None,
            "character_errors": 0,
            "characters": 14,
            "similarity": float(np.clip(rng.normal(similarity, 0.05), 0, 1)),
            "seconds": 1.5 * stretch,
            "golden_seconds": 1.5 if which == "recorded" else None,
            "held_out_hypothesis": None if held_out_wer is None else "seven two nine",
            "held_out_word_errors": None if held_out_wer is None else int(other.binomial(3, held_out_wer)),
            "held_out_similarity": None
            if held_out_similarity is None
            else float(other.normal(held_out_similarity, 0.1)),
            "f0_spread": None if f0_spread is None else float(f0_spread * other.uniform(0.7, 1.3)),
        }
        for i in range(n)
    ]


def write_evaluation(folder: Path, iteration: str, rows: list[dict[str, Any]], settings: Params) -> None:
    """What evaluate@k leaves for the registry: the same table for dev and test, and the decoding in its rows."""
    for path in (paths.dev(iteration), paths.utterances(iteration)):
        write_table(folder / path, rows, schemas.UTTERANCES)
    best = {name: rows[0][name] for name in ("temperature", "top_k", "top_p")}
    of_split = {"best": tables(rows, "best", settings.evaluate.bootstrap_samples, settings.seed)}
    scores = {"dev": of_split, "test": of_split}
    metrics = {"iteration": iteration, "decoding": {"best": best, "loop": best}, "scores": scores}
    write_json(folder / paths.metrics(iteration), metrics)


def write_loop(folder: Path, settings: Params, evaluations: list[list[dict[str, Any]]]) -> None:
    """Iterations 0, 1, … with these evaluations. The working directory must be ``folder``."""
    write_models(folder)
    ids = tracking.start_loop(settings)
    for k, rows in enumerate(evaluations):
        if k:
            ids = tracking.start_iteration(str(k), ids, settings)
        write_json(folder / paths.tracking(str(k)), ids)
        write_policy(folder, str(k), seed=k)
        write_evaluation(folder, str(k), rows, settings)
