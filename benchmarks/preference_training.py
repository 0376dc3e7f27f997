"""DPO training speed against TRL: ``python -m benchmarks.preference_training``.

The same policy (``runs/0/policy``), the same pairs in the same order and batches, the same optimiser and learning rate
of every step, all in float32, interleaved in one run: this project's ``align`` and TRL's ``DPOTrainer``,

* ``TRL, as it comes``: the reference model beside the policy in every step, activations computed again on the way back;
* ``TRL, at its best``: reference log-probabilities computed beforehand (not timed), activations kept.

Prints pairs a second, the ratios with 95 % intervals over rounds, and how far the losses of any step lie apart.
The pairs are those of iteration 1 where there are any, else golden speech against one sample of the policy.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch
import typer
from tokenizers import Tokenizer, models
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from benchmarks.ratios import ratio_line
from model import policy
from model.fast.onednn import use_onednn
from model.objectives.logprobs import collate, sequence_logprobs
from model.sampling import Decoding, Request, sample
from model.tokens import EOS, PAD, Vocabulary
from model.training import Optimization, fit
from tasks.align import pairwise
from tasks.align.job import Job, Row
from tasks.common import paths, runtime, schemas
from tasks.common.files import read_table
from tasks.common.params import Params


@torch.inference_mode()
def golden_against_sampled(ar: LlamaForCausalLM, params: Params, n: int) -> list[Row]:
    """Pairs as the paper makes them: a golden utterance, and what the policy says to the same text and prompt."""
    vocabulary, decoding, rows = policy.vocabulary_of(ar), Decoding(), read_table(paths.codes("train"), schemas.CODES)
    rows = [rows[i] for i in np.random.default_rng(params.seed).permutation(len(rows))[:n]]
    prompts = [row["codes"][0][: params.prompt_frames] for row in rows]
    contexts = [vocabulary.context(row["text"], prompt) for row, prompt in zip(rows, prompts, strict=True)]
    targets = [vocabulary.target(row["codes"][0]) for row in rows]
    sampled = sample(
        ar,
        [
            Request(tuple(c), decoding.max_frames(r["text"]), i)
            for i, (c, r) in enumerate(zip(contexts, rows, strict=True))
        ],
        decoding,
    )
    pairs = []
    for row, prompt, context, target, s in zip(rows, prompts, contexts, targets, sampled, strict=True):
        ids, labels = collate([context], [target])
        pairs.append(
            {
                "id": row["id"],
                "iteration": "1",
                "text": row["text"],
                "prompt": prompt,
                "chosen": row["codes"][0],
                "rejected": s.tokens.tolist(),
                "chosen_finished": True,
                "rejected_finished": s.finished,
                "chosen_logprob": sequence_logprobs(ar(ids).logits, labels).item(),
                "rejected_logprob": float(s.logprobs.sum()),
                **dict.fromkeys(("chosen_wer", "rejected_wer", "chosen_similarity", "rejected_similarity"), np.nan),
            }
        )
    return pairs


class OnTokens(DPOTrainer):
    """TRL's trainer on codec tokens, which no tokenizer made, that keeps the loss of every step."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


def trl(
    ar: LlamaForCausalLM,
    reference: LlamaForCausalLM,
    rows: list[dict[str, list[int]]],
    params: Params,
    optimization: Optimization,
    beta: float,
    as_it_comes: bool,
) -> tuple[float, list[float]]:
    """Seconds of ``DPOTrainer.train`` and the loss of each step."""
    from datasets import Dataset

    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": PAD, "</s>": EOS})), pad_token="<pad>", eos_token="</s>"
    )
    optimizer = torch.optim.AdamW(ar.parameters(), lr=optimization.lr, betas=(0.9, 0.98), weight_decay=0.0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = OnTokens(
            ar,
            reference if as_it_comes else None,
            DPOConfig(
                folder,
                beta=beta,
                per_device_train_batch_size=params.align.batch_pairs,
                num_train_epochs=1,
                max_grad_norm=optimization.max_grad_norm,
                train_sampling_strategy="sequential",
                gradient_checkpointing=as_it_comes,
                precompute_ref_log_probs=not as_it_comes,
                max_length=None,
                bf16=False,  # its default; the losses could not be compared
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=words,
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, optimization.scale)),
        )
        trainer.losses = []
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started, trainer.losses


def rows_of(pairs: list[Row], vocabulary: Vocabulary) -> list[dict[str, list[int]]]:
    """Pairs as TRL's collator takes them."""
    contexts, targets = pairwise.sequences_of(pairs, vocabulary)
    columns = zip(contexts, targets[: len(pairs)], targets[len(pairs) :], strict=False)
    return [{"prompt_ids": c, "chosen_ids": w, "rejected_ids": r} for c, w, r in columns]


def main(steps: int = 16, rounds: int = 5) -> None:
    """Measure ``rounds`` rounds of ``steps`` steps, each of all three ways."""
    params, device = runtime.start()
    # All weights and the bare loss: what TRL trains.
    bare = {"method": "dpo", "parameters": "all", "lr": 3e-5, "nll_weight": 0.0, "epochs": 1, "label_smoothing": 0.0}
    align = params.align.model_copy(update=bare)
    params = params.model_copy(update={"align": align})
    beta, n = params.iteration("1").beta, steps * align.batch_pairs
    start = use_onednn(policy.load(paths.ar("0"), device))
    if paths.pairs("1").is_file():
        pairs = read_table(paths.pairs("1"), schemas.PAIRS)[:n]
    else:
        pairs = golden_against_sampled(start, params, n)
    pairs = pairs[: len(pairs) // align.batch_pairs * align.batch_pairs]  # whole batches, wherever the order puts them
    optimization = Optimization(align.lr, len(pairs) // align.batch_pairs, align.warmup, 0.0, align.max_grad_norm)

    def ours() -> tuple[float, list[float]]:
        plan = pairwise.plan(Job(use_onednn(policy.load(paths.ar("0"), device)), pairs, params, "1", device))
        losses: list[float] = []
        started = time.perf_counter()
        fit(
            plan.model,
            plan.batches,
            plan.loss_of,
            optimization,
            seed=params.seed,
            cpu=True,
            on_step=lambda step, metrics: losses.append(metrics["loss"]),
        )
        return time.perf_counter() - started, losses

    lengths = [len(p["chosen"]) + len(p["rejected"]) for p in pairs]
    order = [i for step in pairwise.schedule_of(lengths, 1, align.batch_pairs, params.seed) for i in step]
    rows = rows_of([pairs[i] for i in order], policy.vocabulary_of(start))

    def theirs(as_it_comes: bool) -> tuple[float, list[float]]:
        # As transformers loads it, without oneDNN's matrix products.
        fresh = [LlamaForCausalLM.from_pretrained(paths.ar("0")).to(device) for _ in range(2)]
        return trl(*fresh, rows, params, optimization, beta, as_it_comes)

    ways = {"speechalign": ours, "TRL, at its best": lambda: theirs(False), "TRL, as it comes": lambda: theirs(True)}
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
    for name in list(ways)[1:]:
        apart = np.abs(np.subtract(curves["speechalign"], curves[name]))
        print(ratio_line(f"speechalign / {name}", speeds["speechalign"], speeds[name]))
        print(f"loss of a step, largest difference to {name}: {apart.max():.1e} over {len(apart)} steps")


if __name__ == "__main__":
    typer.run(main)
