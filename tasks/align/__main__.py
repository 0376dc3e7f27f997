"""Stage ``align@k``: preference optimization of the AR on the iteration's pairs.

``python -m tasks.align --iteration 1``. Each method has a class in this folder, and its equation in
``model/objectives`` (DPO's in ``dpo.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer

from model import lora, policy
from model.fast.onednn import use_onednn
from model.layouts.layout import Layout
from model.processes import count
from model.training import Optimization
from tasks.align.method import Job
from tasks.align.methods import METHODS
from tasks.align.pairwise import reward_gap
from tasks.common import environment, paths, runtime, schemas, tracking
from tasks.common.digests import md5
from tasks.common.files import DataError, atomic_path, write_json
from tasks.common.frame_parallel import check_settings
from tasks.common.launch import part, train_together
from tasks.common.rows import Row, read_rows
from tasks.common.stage import stage
from tasks.common.training import state_of, train


def check(pairs: Sequence[Row], method: str, layout: Layout) -> None:
    """Refuse pairs that cannot teach anything, before the first step.

    Args:
        method: ``align.method``, since RPO needs more of a pair than others. layout: of the policy.
    Raises:
        DataError: no pairs; a side that is empty or holds a token that can't be drawn (padding); two equal sides; a
            reference log-probability that is missing or not finite; RPO without a finite reward gap.
    """
    if not pairs:
        raise DataError("there are no preference pairs; run `prefer` again with a lower prefer.min_wer_gap")
    codes, stops = frozenset(layout.drawable.codes), set(layout.stops)
    for pair in pairs:
        where = f"pair {pair['id']} of iteration {pair['iteration']}"
        lengths = {side: len(pair[side]) - pair[f"{side}_finished"] for side in ("chosen", "rejected")}  # of codes
        if min(lengths.values()) < 1:
            raise DataError(f"{where} has an empty side: {lengths['chosen']} and {lengths['rejected']} codes")
        if np.array_equal(pair["chosen"], pair["rejected"]):
            raise DataError(f"{where} has two equal sides; expected a preference")
        for side, n in lengths.items():
            tokens = [int(token) for token in pair[side]]
            wrong = [token for token in tokens[:n] if token not in codes]
            wrong += [token for token in tokens[n:] if token not in stops]
            if wrong:
                raise DataError(
                    f"{where} has {len(wrong)} of {len(tokens)} {side} tokens that this policy does not draw "
                    f"there, the first {layout.tokenizer.name(wrong[0])}; expected codes, a stop last and no padding: "
                    "run `prefer` again"
                )
            if not 0 <= pair[f"{side}_from"] < n:
                raise DataError(
                    f"{where} is about {side} tokens from {pair[f'{side}_from']} on, of {n}: run `prefer` again"
                )
        logprobs = [pair["chosen_logprob"], pair["rejected_logprob"]]
        if None in logprobs or not np.isfinite(logprobs).all():
            raise DataError(
                f"{where} has reference log-probabilities {logprobs[0]} and {logprobs[1]}; "
                "expected finite numbers: run `prefer` again"
            )
        if method == "rpo" and not np.isfinite(reward_gap(pair)):
            raise DataError(
                f"{where} (source {pair['source']}) has the reward gap {reward_gap(pair)}, but rpo needs a WER and a "
                "similarity of both sides: run `prefer` with prefer.source own_samples, or choose another method"
            )


@stage
def main(iteration: Annotated[str, typer.Option(help="iteration to align")]) -> None:
    """Align the previous policy on this iteration's preference pairs."""
    params, device = runtime.start()
    train_together(params, device)
    align, block = params.align, params.iteration(iteration)
    check_settings(paths.ar(block.prev), params)
    pairs = read_rows(paths.pairs(iteration), schemas.PAIRS)
    previous = policy.load(paths.ar(block.prev), device)
    ar = use_onednn(previous.model)
    check(pairs, align.method, previous.layout)
    if align.method != "sft":
        policy.without_dropout(ar)  # the reference log-probabilities and the samples come from the policy without it
    policy.forget_best_of_n(ar)  # the previous policy's; its reward model stays behind
    method = METHODS[align.method](Job(policy=previous, pairs=pairs, params=params, iteration=iteration, device=device))
    # Last, because the method may have copied the policy for a reward model.
    keep_scale = policy.train_only(ar, align.parameters)
    if align.parameters == "lora":
        lora.adapt(ar, rank=align.lora.rank, alpha=align.lora.alpha, seed=params.seed)
        use_onednn(ar)  # the adapters' layers too
    ids = tracking.start_iteration(iteration, tracking.read(block.prev), params)
    precision = runtime.precision_of(params.compute.precision, device)
    with tracking.resume(ids, iteration) as run:
        here = {
            **environment.describe(params, device),
            "align_precision": precision.replace("no", "float32"),
            "processes": count(),
        }
        run.set_tags(environment.tags("trained", here))
        run.log_dataset("pairs", paths.pairs(iteration))
        curve = train(
            method.model,
            method.batches,
            method.loss,
            Optimization(
                lr=method.lr,
                rates=method.rates,
                steps=method.steps,
                warmup=align.warmup,
                max_grad_norm=align.max_grad_norm,
            ),
            name=f"align@{iteration}",
            command="tasks.align",
            depends_on=[
                align,
                block,
                params.prefer,
                params.decoding,
                md5(paths.pairs(iteration)),
                md5(paths.texts("train")),
                params.models,
                policy.digest(paths.ar(block.prev)),
            ],
            params=params,
            device=device,
            precision=precision,
            log=lambda rows: run.log_curve("align", rows),
            may_save=method.may_save,
            after_step=keep_scale,
            checkpointing=align.gradient_checkpointing,
        )
        part()
        results = method.results()
        run.log_metrics({f"align/{name}": value for name, value in results.items()}, step=method.steps)
    lora.merge(ar)
    with atomic_path(paths.ar(iteration)) as folder:
        policy.save(replace(previous, layout=method.learned()), folder)
        method.finish(folder)
    if results:
        print(f"align@{iteration}: " + ", ".join(f"{name} {value:.3g}" for name, value in results.items()))
    curve.write(paths.curve(iteration))
    write_json(paths.tracking(iteration), ids)
    for name in ("align", "reward"):  # PPO's reward model is trained before the policy
        state_of(f"{name}@{iteration}").unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
