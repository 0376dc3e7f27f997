"""Sampling speed against ``transformers``: ``python -m benchmarks.sampling``.

The same checkpoint (``runs/0/policy``), the same contexts and length limits, the same tokens that may be drawn,
interleaved in one run: this project's sampler, batched ``generate`` and one-by-one ``generate``. Prints tokens per
second and the ratios with 95 % intervals over rounds. ``--draws 4`` asks for four samples of each context, as
stage ``sample`` does (``generate`` by ``num_return_sequences``); the default is one, as stage ``evaluate`` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import typer
from transformers import LlamaForCausalLM

from benchmarks.ratios import ratio_line
from model import policy
from model.drawable import Drawable
from model.sampling import Decoding, Request, sample
from tasks.common import paths, runtime
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices


def generate(
    model: LlamaForCausalLM, drawable: Drawable, contexts: list[list[int]], max_new: int, draws: int = 1
) -> int:
    """Count the tokens that ``transformers`` sampled for a left-padded batch: stops included, padding not."""
    kept = {*drawable.codes, *drawable.stops}
    others = [i for i in range(model.config.vocab_size) if i not in kept]
    longest = max(map(len, contexts))
    ids = torch.tensor([[0] * (longest - len(c)) + c for c in contexts])
    mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts])
    with torch.inference_mode():
        out = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            do_sample=True,
            top_k=0,
            suppress_tokens=others,
            max_new_tokens=max_new,
            num_return_sequences=draws,
        )[:, longest:]
    stopped = torch.isin(out.cpu(), torch.tensor(drawable.stops))
    return sum(int(row.int().argmax()) + 1 if row.any() else len(row) for row in stopped)


def main(utterances: int = 256, batch_size: int = 64, one_by_one: int = 8, rounds: int = 5, draws: int = 1) -> None:
    """Measure ``rounds`` rounds of ``utterances`` samples, each of all three ways on the same contexts."""
    params, device = runtime.start()
    loaded = policy.load(paths.ar("0"), device)
    ar, layout, drawable = loaded.model, loaded.layout, loaded.layout.drawable
    theirs = LlamaForCausalLM.from_pretrained(paths.ar("0")).eval().to(device)
    rows = Utterances.read("test")
    voices = Voices.of(rows, params)
    decoding = Decoding(max_frames_per_character=params.decoding.max_frames_per_character)
    speeds: dict[str, list[float]] = {"speechalign": [], "generate, batched": [], "generate, one by one": []}
    for round_ in range(rounds):
        chosen = np.random.default_rng(round_).choice(len(rows), min(utterances // draws, len(rows)), replace=False)
        texts = [rows[i]["text"] for i in chosen]
        contexts = [layout.context(t, voices.prompt(i)) for t, i in zip(texts, chosen, strict=True)]
        limits = [decoding.max_frames(t) for t in texts]

        def ours(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            pairs = [pair for pair in zip(contexts, limits, strict=True) for _ in range(draws)]
            requests = [Request(tuple(c), m, s) for s, (c, m) in enumerate(pairs)]
            return sum(len(s.logprobs) for s in sample(ar, requests, decoding, drawable, batch_size))

        def batched(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
            size = batch_size // draws
            parts = [order[i : i + size] for i in range(0, len(order), size)]
            return sum(
                generate(theirs, drawable, [contexts[i] for i in p], max(limits[i] for i in p), draws) for p in parts
            )

        def single(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            first = list(zip(contexts, limits, strict=True))[:one_by_one]
            return sum(generate(theirs, drawable, [c], m) for c, m in first)

        ways: dict[str, Callable[[], int]] = dict(zip(speeds, (ours, batched, single), strict=True))
        for name, way in ways.items():
            started = time.perf_counter()
            speeds[name].append(way() / (time.perf_counter() - started))
    for name, values in speeds.items():
        print(f"{name}: {np.median(values):.0f} tokens/s")
    for name in list(speeds)[1:]:
        print(ratio_line(f"speechalign / {name}", speeds["speechalign"], speeds[name]))


if __name__ == "__main__":
    typer.run(main)
