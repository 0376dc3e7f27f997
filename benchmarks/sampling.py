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
from model.sampling import Decoding, Request, sample
from model.tokens import EOS, FIRST_CODE, PAD
from tasks.common import paths, runtime
from tasks.common.utterances import Utterances


def generate(model: LlamaForCausalLM, contexts: list[list[int]], max_new: int, draws: int = 1) -> int:
    """Count the tokens that ``transformers`` sampled for a left-padded batch: end marks included, padding not."""
    others = [i for i in range(FIRST_CODE) if i != EOS]
    longest = max(map(len, contexts))
    ids = torch.tensor([[PAD] * (longest - len(c)) + c for c in contexts])
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
    ended = (out == EOS).int().argmax(dim=1)
    return int(sum(int(e) + 1 if (row == EOS).any() else len(row) for row, e in zip(out, ended, strict=True)))


def main(utterances: int = 256, batch_size: int = 64, one_by_one: int = 8, rounds: int = 5, draws: int = 1) -> None:
    """Measure ``rounds`` rounds of ``utterances`` samples, each of all three ways on the same contexts."""
    params, device = runtime.start()
    ar = policy.load(paths.ar("0"), device)
    theirs = LlamaForCausalLM.from_pretrained(paths.ar("0")).eval().to(device)
    vocabulary = policy.vocabulary_of(ar)
    rows = Utterances.read("test")
    decoding = Decoding(max_frames_per_character=params.decoding.max_frames_per_character)
    speeds: dict[str, list[float]] = {"speechalign": [], "generate, batched": [], "generate, one by one": []}
    for round_ in range(rounds):
        chosen = np.random.default_rng(round_).choice(len(rows), min(utterances // draws, len(rows)), replace=False)
        texts = [rows[i]["text"] for i in chosen]
        contexts = [
            vocabulary.context(t, rows[i]["codes"][0][: params.prompt_frames])
            for t, i in zip(texts, chosen, strict=True)
        ]
        limits = [decoding.max_frames(t) for t in texts]

        def ours(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            pairs = [pair for pair in zip(contexts, limits, strict=True) for _ in range(draws)]
            requests = [Request(tuple(c), m, s) for s, (c, m) in enumerate(pairs)]
            return sum(len(s.logprobs) for s in sample(ar, requests, decoding, vocabulary.drawable, batch_size))

        def batched(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
            size = batch_size // draws
            parts = [order[i : i + size] for i in range(0, len(order), size)]
            return sum(generate(theirs, [contexts[i] for i in p], max(limits[i] for i in p), draws) for p in parts)

        def single(contexts: list[list[int]] = contexts, limits: list[int] = limits) -> int:
            return sum(generate(theirs, [c], m) for c, m in list(zip(contexts, limits, strict=True))[:one_by_one])

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
