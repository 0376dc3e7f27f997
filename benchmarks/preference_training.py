"""DPO training speed against TRL: ``python -m benchmarks.preference_training``.

This project's ``align`` and TRL's ``DPOTrainer`` train one policy (``runs/0/policy``) by turns, in one run, in float32.
Pairs, their order, batches, optimizer and each step's learning rate are equal. TRL runs in two ways:

* ``TRL, as it comes``: a reference model in every step, activations recomputed in the backward pass;
* ``TRL, at its best``: reference log-probabilities computed beforehand (not timed), activations kept.

Prints pairs per second, the ratios with 95 % intervals over rounds, and the largest difference of any step's losses.
So that a ratio can be judged, the matrix products of this project's steps (linear layers, forward and backward, nothing
else) are timed alone: no code with these products is faster than that. The pairs are iteration 1's if there are any,
else golden speech against one sample of the policy.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import typer
from transformers import LlamaForCausalLM

from benchmarks.ratios import ratio_line
from benchmarks.trl_dpo import dpo_trainer
from model import policy
from model.fast.onednn import use_onednn
from model.objectives.logprobs import collate, sequence_logprobs
from model.pairs.sequences import sequences_of
from model.policy import Policy
from model.sampling import Decoding, sample
from model.training import Optimization, fit
from tasks.align.method import Job
from tasks.align.pairwise import Pairwise
from tasks.common import paths, runtime, schemas
from tasks.common.params import Params, own
from tasks.common.rows import Row, read_rows
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices


@torch.inference_mode()
def golden_against_sampled(start: Policy, params: Params, n: int) -> list[Row]:
    """Return the paper's pairs: a golden utterance against a sample of the policy for the same text and prompt."""
    layout, decoding, train = start.layout, Decoding(), Utterances.read("train", levels=1)
    chosen = np.random.default_rng(params.seed).permutation(len(train))[:n].tolist()
    voices = Voices.of(train, params)
    requests = [
        start.request(train.texts[i], voices.prompt(i), decoding=decoding, seed=number)
        for number, i in enumerate(chosen)
    ]
    sampled = sample(start.model, requests, decoding, layout.drawable)
    pairs = []
    for i, request, s in zip(chosen, requests, sampled, strict=True):
        context, target = list(request.context), layout.target(voices.speech(i))
        ids, labels = collate([context], [target])
        pairs.append(
            {
                "id": train.ids[i],
                "iteration": "1",
                "text": train.texts[i],
                "context": context,
                "chosen": target,
                "rejected": s.target,
                "chosen_finished": True,
                "rejected_finished": s.finished,
                "chosen_from": 0,
                "rejected_from": 0,
                "chosen_logprob": sequence_logprobs(start.model(ids).logits, labels).item(),
                "rejected_logprob": float(s.logprobs.sum()),
                **dict.fromkeys(("chosen_wer", "rejected_wer", "chosen_similarity", "rejected_similarity"), np.nan),
            }
        )
    return pairs


def trl(
    ar: LlamaForCausalLM,
    reference: LlamaForCausalLM,
    rows: list[dict[str, list[int]]],
    params: Params,
    optimization: Optimization,
    beta: float,
    as_it_comes: bool,
) -> tuple[float, list[float]]:
    """Return the seconds of ``DPOTrainer.train`` and each step's loss."""
    given = {"cached": not as_it_comes, "recomputed": as_it_comes, "reference": reference if as_it_comes else None}
    with dpo_trainer(ar, rows, optimization, beta=beta, batch_pairs=params.align.batch_pairs, **given) as trainer:
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started, trainer.losses


def products(method: Pairwise, steps: int) -> float:
    """Return the seconds of the matrix products of ``steps`` steps alone, of the linear layers forward and backward."""
    layers = [layer for layer in method.model.modules() if isinstance(layer, torch.nn.Linear)]
    seconds = 0.0
    for batch in (batch for step in range(steps) for batch in method.batches(step)):
        positions = batch["tokens"].numel()
        for layer in layers:
            x = torch.randn(positions, layer.in_features, requires_grad=True)
            gradient = torch.randn(positions, layer.out_features)
            started = time.perf_counter()
            torch.autograd.grad(layer(x), [x, layer.weight], gradient)
            seconds += time.perf_counter() - started
    return seconds


def rows_of(pairs: list[Row]) -> list[dict[str, list[int]]]:
    """Return pairs as TRL's collator takes them."""
    contexts, targets = sequences_of(pairs)
    columns = zip(contexts, targets[: len(pairs)], targets[len(pairs) :], strict=False)
    return [{"prompt_ids": c, "chosen_ids": w, "rejected_ids": r} for c, w, r in columns]


def main(steps: int = 16, rounds: int = 5) -> None:
    """Measure ``rounds`` rounds of ``steps`` steps, each of all three ways."""
    params, device = runtime.start()
    # All weights and the bare loss: what TRL trains.
    bare = {"method": "dpo", "parameters": "all", "lr": 3e-5, "nll_weight": 0.0, "epochs": 1, "label_smoothing": 0.0}
    align = params.align.model_copy(update=bare)
    params = params.model_copy(update={"align": align})
    beta, n = own.BETAS["dpo"], steps * align.batch_pairs
    start = policy.load(paths.ar("0"), device)
    use_onednn(start.model)
    if paths.pairs("1").is_file():
        pairs = read_rows(paths.pairs("1"), schemas.PAIRS)[:n]
    else:
        pairs = golden_against_sampled(start, params, n)
    pairs = pairs[: len(pairs) // align.batch_pairs * align.batch_pairs]  # whole batches, wherever the order puts them
    optimization = Optimization(
        lr=align.lr,
        steps=len(pairs) // align.batch_pairs,
        warmup=align.warmup,
        max_grad_norm=align.max_grad_norm,
    )

    def job() -> Job:
        fresh = policy.load(paths.ar("0"), device)
        use_onednn(fresh.model)
        return Job(policy=fresh, pairs=pairs, params=params, iteration="1", device=device)

    def ours() -> tuple[float, list[float]]:
        method = Pairwise(job())
        losses: list[float] = []
        started = time.perf_counter()
        fit(
            method.model,
            method.batches,
            method.loss,
            optimization,
            seed=params.seed,
            cpu=True,
            on_step=lambda step, metrics: losses.append(metrics["loss"]),
        )
        return time.perf_counter() - started, losses

    rows = rows_of([pairs[place] for step in job().pair_schedule(1) for place in step])

    def theirs(as_it_comes: bool) -> tuple[float, list[float]]:
        # As transformers loads it, without oneDNN's matrix products.
        fresh = [LlamaForCausalLM.from_pretrained(paths.ar("0")).to(device) for _ in range(2)]
        return trl(*fresh, rows, params, optimization, beta, as_it_comes)

    def alone() -> tuple[float, list[float]]:
        return products(Pairwise(job()), optimization.steps), []

    ways = {"speechalign": ours, "TRL, at its best": lambda: theirs(False), "TRL, as it comes": lambda: theirs(True)}
    ways["matrix products alone"] = alone
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    curves: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds, curves[name] = way()
            speeds[name].append(len(pairs) / seconds)
    print(
        f"{len(pairs)} pairs in {optimization.steps} steps of {align.batch_pairs}, reference log-probabilities cached"
    )
    for name, values in speeds.items():
        print(f"{name}: {np.median(values):.1f} pairs/s")
    for name in list(ways)[1:3]:
        apart = np.abs(np.subtract(curves["speechalign"], curves[name]))
        print(ratio_line(f"speechalign / {name}", speeds["speechalign"], speeds[name]))
        print(f"loss of a step, largest difference to {name}: {apart.max():.1e} over {len(apart)} steps")
    bound = speeds["matrix products alone"]
    print(ratio_line("matrix products alone / TRL, at its best", bound, speeds["TRL, at its best"]))


if __name__ == "__main__":
    typer.run(main)
