"""Speed on one GPU: ``python -m benchmarks.gpu``; under 8 minutes, and in seconds on a CPU with ``--smoke``.

Random policies of 0.1, 0.5 and 1 billion parameters, on random pairs and contexts:

* DPO in pairs per second and share of the card's arithmetic (MFU), by turns with TRL at its best;
* sampling in tokens per second, with steps recorded as CUDA graphs and without, against ``generate`` of transformers
  with a static cache, and against the bound that the memory's bandwidth sets: each step reads all weights and the
  cache once.

Then extraction and judging of synthetic speech by the embedded codec and recognizer, as multiples of real time. From
all of it follow the hours of speech that the loop samples, judges and learns from per day. Writes
``results/<card>.json``.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer

from benchmarks import gpu_training
from model import policy
from model.codecs.registry import load_codec
from model.espeak import SAMPLE_RATE, synthesize
from model.fast import recording
from model.judges.panel import Panel
from model.precision import with_weights_in
from model.sampling import Decoding, Request, sample
from tasks.common import params as settings
from tasks.common import runtime
from tasks.common.files import try_place
from tasks.extract.__main__ import seconds_per_pass

RESULTS = Path(__file__).parent / "results"
CODEBOOK = 1024
FRAMES_PER_SECOND, SPEECH_SECONDS, PAIRS_PER_TEXT, DRAWS = 50, 8.0, 0.53, 4  # of the loop whose day is counted
# Dense bfloat16 arithmetic that makers name, in operations per second; of another card it is measured.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}


@dataclass(frozen=True)
class Size:
    """Of a policy and of what it is measured on."""

    name: str
    layers: int
    width: int
    heads: int
    pairs: int = 16
    context: int = 150
    tokens: int = 400
    batch: int = 64
    steps: int = 6


SIZES = (Size("0.1B", 12, 832, 13), Size("0.5B", 24, 1280, 20), Size("1B", 24, 1856, 29))
SMOKE = (Size("smoke", 2, 64, 2, pairs=2, context=8, tokens=12, batch=4, steps=2),)


def policy_of(size: Size, device: torch.device) -> policy.Policy:
    """Return the same random policy at every call."""
    torch.manual_seed(0)
    shape = policy.ArShape(size.layers, size.width, size.heads, max_positions=size.context + size.tokens + 8)
    built = policy.build(shape, CODEBOOK)
    return replace(built, model=built.model.eval().to(device))


def timed(work: Callable[[], float], device: torch.device, rounds: int = 2) -> float:
    """Return the best of ``rounds`` speeds: what ``work`` returns, per second; a first call is not counted."""
    work()
    found = []
    for _ in range(rounds):
        _wait(device)
        started = time.perf_counter()
        done = work()
        _wait(device)
        found.append(done / (time.perf_counter() - started))
    return max(found)


def card(device: torch.device, smoke: bool) -> dict[str, Any]:
    """Return the card's name, its arithmetic (operations per second) and its bandwidth (bytes per second), measured."""
    n, dtype = (256, torch.float32) if smoke else (8192, torch.bfloat16)
    a, b = torch.randn(2, n, n, device=device).to(dtype)
    flops = timed(lambda: [a @ b for _ in range(20)] and 20 * 2.0 * n**3, device)
    block = torch.empty((1 << 22) if smoke else (1 << 30), dtype=torch.uint8, device=device)
    bandwidth = timed(lambda: [block.clone() for _ in range(10)] and 20.0 * block.numel(), device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    peak = next((flops for known, flops in PEAKS.items() if known in name), None)
    return {"card": name, "torch": torch.__version__, "peak": peak or flops, "flops": flops, "bandwidth": bandwidth}


def training(size: Size, device: torch.device, peak: float) -> dict[str, float]:
    """Return pairs per second and MFU of both trainers, and how far a step's losses are apart.

    MFU counts 6 operations per weight and position that a trainer computes: the context of a pair once here, twice in
    TRL.
    """
    sides: dict[str, gpu_training.Side] = {
        name: way(policy_of(size, device), size, device)
        for name, way in (("speechalign", gpu_training.ours), ("trl", gpu_training.trl))
    }
    weights = sum(p.numel() for p in policy_of(size, torch.device("meta")).model.parameters())
    positions = {"speechalign": size.context + 2 * size.tokens, "trl": 2 * (size.context + size.tokens)}
    found = {f"{name}_pairs_per_second": side.pairs_per_second for name, side in sides.items()}
    found |= {
        f"{name}_mfu": 6 * weights * positions[name] * side.pairs_per_second / peak for name, side in sides.items()
    }
    ratio = sides["speechalign"].pairs_per_second / sides["trl"].pairs_per_second
    apart = np.abs(np.subtract(sides["speechalign"].losses, sides["trl"].losses)).max()
    return {"parameters": weights, **found, "ratio": ratio, "largest_loss_difference": float(apart)}


def sampling(size: Size, device: torch.device, bandwidth: float) -> dict[str, float]:
    """Return tokens per second here, by ``generate``, and the bound of the memory's bandwidth."""
    own = policy_of(size, device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = with_weights_in(own.model, dtype)
    rng = np.random.default_rng(0)
    contexts = rng.choice(own.layout.drawable.codes, (size.batch, size.context))
    requests = [Request(tuple(row.tolist()), size.tokens, seed) for seed, row in enumerate(contexts)]
    ids = torch.tensor(contexts, device=device)
    others = sorted({*range(model.config.vocab_size)} - {*own.layout.drawable.codes})

    def ours(recorded: bool) -> float:
        with patch.dict(os.environ, {recording.SWITCH: str(int(recorded))}):
            done = sample(own.model, requests, Decoding(), own.layout.drawable, size.batch, dtype=dtype)
        return float(sum(len(s.logprobs) for s in done))

    def theirs() -> float:
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                suppress_tokens=others,
                max_new_tokens=size.tokens,
                cache_implementation="static",
            )
        return float(out[:, size.context :].numel())

    weights = sum(p.numel() for p in model.parameters())
    cache = size.batch * (size.context + size.tokens / 2) * 2 * size.layers * size.width
    bound = size.batch * bandwidth / (dtype.itemsize * (weights + cache))
    found = {
        "tokens_per_second": timed(lambda: ours(recorded=True), device),
        "without_graphs": timed(lambda: ours(recorded=False), device),
        "generate_static": timed(theirs, device),
        "bound": bound,
    }
    return {**found, "of_bound": found["tokens_per_second"] / bound}


def audio(device: torch.device, smoke: bool) -> dict[str, float]:
    """Return extraction and judging as multiples of real time, on synthetic digits of unequal length."""
    params = settings.load()
    codec, panel = load_codec(params.models.codec, device), Panel(params.models.recognizer, device)
    words = "one two three four five six seven eight nine zero".split()
    texts = [" ".join(words[: 1 + i % 10]) for i in range(4 if smoke else 256)]
    spoken = {text: synthesize(text, "Diogo-100-30") for text in sorted(set(texts))}
    waves = [np.asarray(spoken[text], np.float32) for text in texts]
    seconds = sum(map(len, waves)) / SAMPLE_RATE
    batch_seconds, voices = seconds_per_pass(params, device), panel.embed(waves, SAMPLE_RATE)
    tensors = [torch.from_numpy(wave) for wave in waves]

    def encode() -> float:
        codec.encode(tensors, batch_seconds, rate=SAMPLE_RATE)
        return seconds

    def judge() -> float:
        panel.judge(waves, SAMPLE_RATE, texts, voices)
        return seconds

    return {"extraction": timed(encode, device), "judging": timed(judge, device)}


def hours_per_day(pairs_per_second: float, tokens_per_second: float, judging: float) -> float:
    """Return hours of speech that the loop samples, judges and learns from in a day on one card."""
    pairs = PAIRS_PER_TEXT / DRAWS / SPEECH_SECONDS  # per second of sampled speech
    seconds = FRAMES_PER_SECOND / tokens_per_second + 1 / judging + pairs / pairs_per_second
    return 24 / seconds


def main(
    smoke: Annotated[bool, typer.Option(help="a tiny policy, in seconds, on any device")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = RESULTS,
) -> None:
    """Measure, print, and write ``<card>.json``."""
    started = time.monotonic()
    device = runtime.device_of("auto")
    if device.type != "cuda" and not smoke:
        raise SystemExit("error: PyTorch finds no NVIDIA GPU here; --smoke runs a tiny policy on a CPU")
    try:
        try_place(out / "card.json")  # before minutes of measuring
    except OSError as error:
        raise SystemExit(f"error: the results cannot be kept in --out {out}: {error.strerror}") from error
    runtime.fast_on(device)
    found: dict[str, Any] = {**card(device, smoke), "sizes": {}, "audio": audio(device, smoke)}
    for size in SMOKE if smoke else SIZES:
        part = {"size": asdict(size), "training": training(size, device, found["peak"])}
        part["sampling"] = sampling(size, device, found["bandwidth"])
        part["hours_per_day"] = hours_per_day(
            part["training"]["speechalign_pairs_per_second"],
            part["sampling"]["tokens_per_second"],
            found["audio"]["judging"],
        )
        found["sizes"][size.name] = part
        print(f"{size.name}: {json.dumps(part)}", flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    found["seconds"] = time.monotonic() - started
    name = re.sub(r"[^a-z0-9]+", "-", found["card"].lower()).strip("-")
    (out / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{out / name}.json: {found['audio']}, {found['seconds']:.0f} s")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    typer.run(main)
