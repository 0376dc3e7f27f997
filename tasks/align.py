"""Stage ``align@k``: preference optimisation of the AR on the iteration's pairs.

``python -m tasks.align --iteration 1``.
The line that computes the DPO loss is in ``model/objectives/dpo.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import typer

from model import policy
from model.objectives.dpo import PairLogprobs, dpo_loss
from model.objectives.logprobs import IGNORE, collate, sequence_logprobs
from model.tokens import Vocabulary
from model.training import LossFunction, Optimization, fingerprint_of, fit
from tasks import paths, runtime, schemas, tracking
from tasks.curves import Curve
from tasks.digests import md5
from tasks.files import DataError, read_json, read_table, whole, write_json
from tasks.params import Align
from tasks.progress import Bar
from tasks.stage import stage


@dataclass
class Batch:
    """Chosen rows, then rejected rows, padded together; ``weight`` is the number of pairs."""

    ids: list[str]
    tokens: torch.Tensor
    labels: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    weight: float


def check(pairs: list[dict[str, Any]]) -> None:
    """Refuse pairs that cannot teach anything.

    Raises:
        DataError: no pairs, a side without tokens, two equal sides, or a reference log-probability that is not finite.
    """
    if not pairs:
        raise DataError("there are no preference pairs; run `prefer` again with a lower prefer.min_wer_gap")
    for pair in pairs:
        where = f"pair {pair['id']} of iteration {pair['iteration']}"
        if not pair["chosen"] or not pair["rejected"]:
            raise DataError(f"{where} has an empty side: {len(pair['chosen'])} and {len(pair['rejected'])} tokens")
        if pair["chosen"] == pair["rejected"]:
            raise DataError(f"{where} has two equal sides; expected a preference")
        if not np.isfinite([pair["chosen_logprob"], pair["rejected_logprob"]]).all():
            raise DataError(
                f"{where} has reference log-probabilities {pair['chosen_logprob']} and {pair['rejected_logprob']}; "
                "expected finite numbers: run `prefer` again"
            )


def batch_of(pairs: list[dict[str, Any]], vocabulary: Vocabulary) -> Batch:
    """One padded batch of pairs."""
    contexts = [vocabulary.context(p["text"], p["prompt"]) for p in pairs]
    targets = [vocabulary.target(p["chosen"]) for p in pairs]
    targets += [vocabulary.target(p["rejected"], p["rejected_finished"]) for p in pairs]
    tokens, labels = collate(contexts * 2, targets)
    return Batch(
        [f"{p['id']}@{p['iteration']}" for p in pairs],
        tokens,
        labels,
        torch.tensor([p["chosen_logprob"] for p in pairs], dtype=torch.float32),
        torch.tensor([p["rejected_logprob"] for p in pairs], dtype=torch.float32),
        float(len(pairs)),
    )


def objective(p: Align, beta: float) -> LossFunction:
    """DPO plus the weighted negative log-likelihood (nats a token) of the chosen side, summed over pairs."""

    def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        labels = batch.labels.to(device)
        scored = sequence_logprobs(model(input_ids=batch.tokens.to(device), use_cache=False).logits.float(), labels)
        chosen, rejected = scored.chunk(2)
        logprobs = PairLogprobs(
            chosen, rejected, batch.reference_chosen.to(device), batch.reference_rejected.to(device)
        )
        preference = dpo_loss(logprobs, beta, p.label_smoothing)
        nll = -chosen / (labels[: len(chosen)] != IGNORE).sum(dim=1)
        metrics = {
            "preference_loss": preference.sum().item(),
            "nll": nll.sum().item(),
            "accuracy": (logprobs.margin > 0).sum().item(),
            "margin": logprobs.margin.sum().item(),
            "chosen_shift": (chosen - logprobs.reference_chosen).sum().item(),
            "rejected_shift": (rejected - logprobs.reference_rejected).sum().item(),
        }
        return (preference + p.nll_weight * nll).sum(), metrics

    return loss_of


def schedule_of(pairs: list[dict[str, Any]], p: Align, seed: int) -> list[list[int]]:
    """Steps of ``batch_pairs`` pairs of like length, in random order; every epoch anew."""
    lengths = [len(x["chosen"]) + len(x["rejected"]) for x in pairs]
    steps: list[list[int]] = []
    for epoch in range(p.epochs):
        rng = np.random.default_rng([seed, 5, epoch])
        order = rng.permutation(len(pairs)).tolist()
        # Sorting within random chunks leaves little padding, and the batches still random.
        ordered = [
            i
            for start in range(0, len(order), 512)
            for i in sorted(order[start : start + 512], key=lambda i: lengths[i])
        ]
        groups = [ordered[i : i + p.batch_pairs] for i in range(0, len(ordered), p.batch_pairs)]
        steps += [groups[i] for i in rng.permutation(len(groups))]
    return steps


@stage
def main(iteration: Annotated[str, typer.Option(help="iteration to align")]) -> None:
    """Align the previous policy on this iteration's preference pairs."""
    params, device = runtime.start()
    p, block = params.align, params.iteration(iteration)
    pairs = read_table(paths.pairs(iteration), schemas.PAIRS)
    check(pairs)
    ar = policy.load(paths.ar(block.prev), device)
    vocabulary = policy.vocabulary_of(ar)
    schedule = schedule_of(pairs, p, params.seed)
    ids = tracking.start_iteration(iteration, read_json(paths.tracking(block.prev)), params)
    curve = Curve(every=max(1, len(schedule) // 50))
    with tracking.resume(ids, iteration) as run, Bar(f"align@{iteration}", len(schedule)) as bar:
        run.log_dataset("pairs", paths.pairs(iteration))

        def on_step(step: int, metrics: dict[str, float]) -> None:
            row = curve.add(step, metrics)
            bar.advance(note=f"loss {metrics['loss']:.3f}, accuracy {metrics['accuracy']:.2f}")
            if row:
                run.log_metrics({f"align/{k}": v for k, v in row.items()}, step)

        def batches(step: int) -> list[Batch]:
            chosen = [pairs[i] for i in schedule[step]]
            return [batch_of(chosen[i : i + p.micro_pairs], vocabulary) for i in range(0, len(chosen), p.micro_pairs)]

        fit(
            ar,
            batches,
            objective(p, block.beta),
            Optimization(p.lr, len(schedule), p.warmup, 0.0, p.max_grad_norm),
            seed=params.seed,
            state_file=paths.STATE / f"align-{iteration}.pt",
            fingerprint=fingerprint_of(
                p, block, params.seed, md5(paths.pairs(iteration)), policy.digest(paths.ar(block.prev))
            ),
            precision="no",  # margins of a few nats are differences of sums of hundreds: bf16 would drown them
            cpu=device.type == "cpu",
            on_step=on_step,
        )
    with whole(paths.ar(iteration)) as folder:
        policy.save(ar, folder)
    curve.write(paths.curve(iteration))
    write_json(paths.tracking(iteration), ids)


if __name__ == "__main__":
    typer.run(main)
