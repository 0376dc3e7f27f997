"""Peak memory of a DPO training against TRL's: ``python -m benchmarks.dpo_memory``; some minutes.

A random Qwen2 of 0.5 billion parameters and a vocabulary of 151,936 tokens learns from one batch of random pairs. Each
side runs in a process of its own on the CPU: float32, gradient checkpointing, AdamW. What counts is the most memory
that the process ever held. TRL runs as it comes (reference computed in each step) and with the reference's
log-probabilities computed before, as they always are here. ``--train all`` trains all weights, whose gradients and
optimizer state take the same memory on both sides.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

BETA, LR, RANK, ALPHA = 0.1, 1e-4, 16, 32
# Freed tensors of more than 256 KB go back to the system at once. Otherwise the C library's heap keeps and splits
# them, and the peak says more about that than about what a training needs.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
SIDES = {"speechalign": "speechalign", "trl": "TRL, as it comes", "trl-cached": "TRL, reference cached"}


@dataclass(frozen=True)
class Size:
    """Of the model and of the batch; the defaults are Qwen2-0.5B's."""

    train: Literal["lora", "all"] = "lora"
    layers: int = 24
    width: int = 896
    vocabulary: int = 151_936
    pairs: int = 8
    context: int = 60
    tokens: int = 300  # of each side
    steps: int = 2

    def smaller(self) -> Size:
        """Return a size that runs in seconds."""
        return Size(train=self.train, layers=2, width=64, vocabulary=16_384, pairs=2, context=8, tokens=40)


def model_of(size: Size) -> Any:
    """Return the same random model in every process."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.width * 38 // 7,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64,
        num_key_value_heads=1 if size.width < 128 else 2,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return Qwen2ForCausalLM(config)


def pairs_of(size: Size) -> list[dict[str, list[int]]]:
    """Return random pairs as TRL's collator takes them."""
    import numpy as np

    rng = np.random.default_rng(1)
    lengths = {"prompt_ids": size.context, "chosen_ids": size.tokens, "rejected_ids": size.tokens}
    return [
        {name: rng.integers(3, size.vocabulary, n).tolist() for name, n in lengths.items()} for _ in range(size.pairs)
    ]


def ours(size: Size) -> list[float]:
    """Train by ``model.training.fit`` and return each step's loss."""
    import torch

    from model import lora
    from model.batch import Batch
    from model.fast.shared_context import collate_pairs, pair_logprobs
    from model.objectives.dpo import dpo_loss
    from model.objectives.pair_logprobs import PairLogprobs
    from model.training import Optimization, fit

    model, pairs, losses = model_of(size), pairs_of(size), list[float]()
    if size.train == "lora":
        lora.adapt(model, rank=RANK, alpha=ALPHA, seed=0)
    sides = [{name: pair[f"{name}_ids"] for name in ("chosen", "rejected")} for pair in pairs]
    whole = {"chosen_from": 0, "rejected_from": 0}
    tensors = collate_pairs([{"context": p["prompt_ids"], **s, **whole} for p, s in zip(pairs, sides, strict=True)])
    with torch.inference_mode():
        chosen, rejected = pair_logprobs(model.eval(), **tensors)
    reference = {"reference_chosen": chosen.clone(), "reference_rejected": rejected.clone()}
    batch = Batch(ids=[str(i) for i in range(len(pairs))], weight=float(len(pairs)), **tensors, **reference)

    def loss(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        chosen, rejected = pair_logprobs(model, *(batch[name] for name in ("tokens", "labels", "positions", "side")))
        anchors = {name: batch[name] for name in reference}
        return dpo_loss(PairLogprobs(chosen=chosen, rejected=rejected, **anchors), beta=BETA).sum(), {}

    fit(
        model,
        lambda step: [batch],
        loss,
        Optimization(lr=LR, steps=size.steps),
        seed=0,
        cpu=True,
        checkpointing=True,
        on_step=lambda step, metrics: losses.append(metrics["loss"]),
    )
    return losses


def trl(size: Size, cached: bool) -> list[float]:
    """Train by ``trl.DPOTrainer`` and return each step's loss."""
    from peft import LoraConfig

    from benchmarks.trl_dpo import dpo_trainer
    from model.training import Optimization

    model, adapters = model_of(size), None
    if size.train == "lora":
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        adapters = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=names, task_type="CAUSAL_LM")
    reference = None if cached or adapters else model_of(size)
    plan = Optimization(lr=LR, steps=size.steps)
    given = {"reference": reference, "cached": cached, "recomputed": True, "adapters": adapters}
    with dpo_trainer(model, pairs_of(size), plan, beta=BETA, batch_pairs=size.pairs, **given) as trainer:
        trainer.train()
        return trainer.losses


def measure(side: str, size: Size) -> dict[str, Any]:
    """Train in this process; return its peak in bytes, the seconds, and losses."""
    started = time.perf_counter()
    losses = ours(size) if side == "speechalign" else trl(size, cached=side == "trl-cached")
    return {"peak": _peak(), "seconds": time.perf_counter() - started, "losses": losses}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(
    train: Annotated[str, typer.Option(help="lora or all")] = "lora",
    layers: Annotated[int, typer.Option(help="of the model; fewer where memory does not allow 24")] = 24,
    pairs: int = 8,
    tokens: Annotated[int, typer.Option(help="of each side of a pair")] = 300,
    steps: Annotated[int, typer.Option(help="all on the same batch; a second one has the optimizer's state")] = 2,
    smoke: Annotated[bool, typer.Option(help="a small model, in seconds")] = False,
    side: Annotated[str, typer.Option(hidden=True, help="measure one side in this process")] = "",
) -> None:
    """Print the peak memory of each side, and its share of TRL's."""
    size = Size(train="all" if train == "all" else "lora", layers=layers, pairs=pairs, tokens=tokens, steps=steps)
    size = size.smaller() if smoke else size
    if side:
        print(json.dumps(measure(side, size)))
        return
    print(f"DPO, {json.dumps(asdict(size))}")
    found = {}
    for name, title in SIDES.items():
        command = [sys.executable, "-m", "benchmarks.dpo_memory", *sys.argv[1:], "--side", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **MALLOC})
        found[name] = json.loads(done.stdout.splitlines()[-1])
        losses = ", ".join(f"{loss:.4f}" for loss in found[name]["losses"])
        print(f"{title}: {found[name]['peak'] / 1e9:.2f} GB at most, {found[name]['seconds']:.0f} s, losses {losses}")
    for name in ("trl", "trl-cached"):
        print(f"speechalign / {SIDES[name]}: {found['speechalign']['peak'] / found[name]['peak']:.2f} of the memory")


if __name__ == "__main__":
    typer.run(main)
