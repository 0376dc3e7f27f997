"""Sampling speed against ``transformers``: ``python -m benchmarks.sampling``.

The same checkpoint (``runs/0/policy``), the same contexts and length limits, the same tokens that may be drawn,
interleaved in one run: this project's sampler, batched ``generate`` and one-by-one ``generate``. Prints tokens per
second and the ratios with 95 % intervals over rounds. ``--draws 4`` asks for four samples of each context, as
stage ``sample`` does (``generate`` by ``num_return_sequences``); the default is one, as stage ``evaluate`` does.

``--model qwen2`` takes a random Qwen2 of 0.1 billion parameters instead, with random contexts. It hardly ever draws a
stop, so each sample ends at a limit of its own, from 40 to 300 tokens; of ``generate``'s tokens those up to the limit
count.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from benchmarks.ratios import ratio_line
from model import policy
from model.drawable import Drawable
from model.fast.onednn import use_onednn
from model.sampling import Decoding, Request, sample
from tasks.common import paths, runtime
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices


@dataclass(frozen=True)
class Round:
    """What one round samples."""

    contexts: list[list[int]]
    limits: list[int]  # tokens of each sample, at most


@dataclass(frozen=True)
class Case:
    """One model, twice: for this project's sampler and for ``generate``."""

    ours: PreTrainedModel
    theirs: PreTrainedModel
    drawable: Drawable
    round: Callable[[int, int], Round]  # of the round's number and how many contexts


def own() -> Case:
    """Return the policy of ``runs/0`` and test's texts."""
    params, device = runtime.start()
    loaded = policy.load(paths.ar("0"), device)
    rows = Utterances.read("test")
    voices = Voices.of(rows, params)
    decoding = Decoding(max_frames_per_character=params.decoding.max_frames_per_character)

    def round_(number: int, n: int) -> Round:
        chosen = np.random.default_rng(number).choice(len(rows), min(n, len(rows)), replace=False)
        texts = [rows[i]["text"] for i in chosen]
        contexts = [loaded.layout.context(t, voices.prompt(i)) for t, i in zip(texts, chosen, strict=True)]
        return Round(contexts, [decoding.max_frames(t) for t in texts])

    theirs = LlamaForCausalLM.from_pretrained(paths.ar("0")).eval().to(device)
    return Case(loaded.model, theirs, loaded.layout.drawable, round_)


def qwen2() -> Case:
    """Return a random Qwen2 with 88 million parameters, 4,096 codes and one stop."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=20_000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = Qwen2ForCausalLM(config).eval()

    def round_(number: int, n: int) -> Round:
        rng = np.random.default_rng(number)
        contexts = [rng.integers(10, 20_000, length).tolist() for length in rng.integers(40, 160, n)]
        return Round(contexts, rng.integers(40, 300, n).tolist())

    return Case(use_onednn(copy.deepcopy(model)), model, Drawable(codes=range(10_000, 14_096), stops=(1,)), round_)


def generate(case: Case, given: Round, draws: int = 1) -> int:
    """Count the tokens that ``transformers`` sampled for a left-padded batch: stops included, padding not."""
    kept = {*case.drawable.codes, *case.drawable.stops}
    others = [i for i in range(case.theirs.config.vocab_size) if i not in kept]
    longest = max(map(len, given.contexts))
    ids = torch.tensor([[0] * (longest - len(c)) + c for c in given.contexts])
    mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in given.contexts])
    with torch.inference_mode():
        out = case.theirs.generate(
            ids.to(case.theirs.device),
            attention_mask=mask.to(case.theirs.device),
            do_sample=True,
            top_k=0,
            suppress_tokens=others,
            max_new_tokens=max(given.limits),
            num_return_sequences=draws,
        )[:, longest:]
    stopped = torch.isin(out.cpu(), torch.tensor(case.drawable.stops))
    lengths = [int(row.int().argmax()) + 1 if row.any() else len(row) for row in stopped]
    # Our sampler draws one more than the limit: only a stop counts there.
    return sum(min(n, limit + 1) for n, limit in zip(lengths, np.repeat(given.limits, draws), strict=True))


def main(
    utterances: int = 256, batch_size: int = 64, one_by_one: int = 8, rounds: int = 5, draws: int = 1,
    of: Annotated[Literal["own", "qwen2"], typer.Option("--model", help="which model samples")] = "own",
) -> None:  # fmt: skip
    """Measure ``rounds`` rounds of ``utterances`` samples, each of all three ways on the same contexts."""
    case = {"own": own, "qwen2": qwen2}[of]()
    speeds: dict[str, list[float]] = {"speechalign": [], "generate, batched": [], "generate, one by one": []}
    for number in range(rounds):
        given = case.round(number, utterances // draws)

        def ours(given: Round = given) -> int:
            pairs = [pair for pair in zip(given.contexts, given.limits, strict=True) for _ in range(draws)]
            requests = [Request(tuple(c), m, s) for s, (c, m) in enumerate(pairs)]
            return sum(len(s.logprobs) for s in sample(case.ours, requests, Decoding(), case.drawable, batch_size))

        def batched(given: Round = given) -> int:
            order = sorted(range(len(given.contexts)), key=lambda i: len(given.contexts[i]))
            size = batch_size // draws
            parts = [order[i : i + size] for i in range(0, len(order), size)]
            rounds = [Round([given.contexts[i] for i in p], [given.limits[i] for i in p]) for p in parts]
            return sum(generate(case, part, draws) for part in rounds)

        def single(given: Round = given) -> int:
            first = list(zip(given.contexts, given.limits, strict=True))[:one_by_one]
            return sum(generate(case, Round([c], [m])) for c, m in first)

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
