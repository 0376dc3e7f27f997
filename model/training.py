"""One training loop for every model: accelerate for device, precision and processes; resumable; deterministic on a CPU.

A step's data is a pure function of the step's number. Its loss is a sum over items divided by the step's total weight.
So a resumed run equals an uninterrupted one, and one batch of eight equals eight accumulated batches of one, or two
processes with four each (:mod:`model.processes`).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model import processes, recompute, saved_state, sharding
from model.batch import Batch
from model.checkpoint import not_finite
from model.errors import TrainingError
from model.fast.heap import return_freed_memory
from model.fast.padding import padded
from model.optimizers import build
from model.together import LossFunction, Metrics, gradients_apart, prepare

MOST_SKIPPED = 40  # steps in a row that a scaler leaves out; from 2^16 it reaches 1 in 16


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """AdamW or Muon (:mod:`model.optimizers`) with linear warm-up and cosine decay to a tenth."""

    lr: float
    steps: int
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    optimizer: str = "adamw"
    rates: Mapping[str, float] = field(default_factory=dict)  # of parameters by how their names start, if not ``lr``

    def scale(self, step: int) -> float:
        """Return the learning-rate factor of a step, counted from 0."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    model: torch.nn.Module,
    batches: Callable[[int], Sequence[Batch]],
    loss: LossFunction,
    optimization: Optimization,
    *,
    seed: int,
    state_file: Path | None = None,
    fingerprint: str = "",
    save_every_seconds: float = 60.0,
    precision: str = "no",
    cpu: bool = False,
    after_step: Callable[[], None] | None = None,
    on_step: Callable[[int, Metrics], None] | None = None,
    may_save: Callable[[int], bool] = lambda step: True,
    curve: Any = None,
    checkpointing: bool = False,
    shard: bool = False,
) -> torch.nn.Module:
    """Train ``model`` in place and return it, unwrapped and in evaluation mode.

    Args:
        batches: micro-batches of a step (from 0), the same at every call; where several processes train, each gives
            its own (:func:`model.processes.micro_batches`).
        loss: sum of a batch's losses, and sums of what else should be reported.
        state_file: where to keep optimizer, weights and step. A run resumes from a file with its own ``fingerprint``
            and ignores any other. The file stays at the end: the caller removes it once the model is written.
        fingerprint: names the run that a state belongs to: settings and digests of the data.
        after_step: called after each update of the weights, before they are used or saved: a constraint on them.
        on_step: called after each step with its number (from 1) and mean metrics, ``loss`` and ``lr`` among them; in
            every process, with the same numbers.
        may_save: whether a run can resume after this many steps. False between steps that share samples drawn from
            the model itself (PPO), since a later model can't draw them again.
        checkpointing: compute each block again for its gradient, so that only its input is held.
        curve: an object with ``state_dict`` and ``load_state_dict``, saved with the state and restored with it.

    Raises:
        TrainingError: a loss or a gradient that is not finite, with the ids of its batch or step, before it updates
            anything; a weight that is not finite, before the state is saved or the model returned; or processes that
            resume from different steps.
    """
    from accelerate import Accelerator  # seconds, which a stage that trains nothing need not wait for
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    AcceleratorState._reset_state()  # one process may train twice, in another precision; the devices stay as they are
    # A step of the NAR leaves out the heads of other levels. No model has buffers that training changes.
    shared = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    accelerator = Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[shared])
    if accelerator.num_processes != processes.count():
        raise TrainingError(
            f"expected {processes.count()} training processes, found {accelerator.num_processes}: another launcher has "
            "set WORLD_SIZE and LOCAL_RANK; unset them, and say in compute.processes how many should train"
        )
    shard = shard and processes.count() > 1
    if shard and optimization.optimizer == "muon":
        raise TrainingError(
            "compute.shard splits each matrix among the processes, and muon needs whole ones; set the optimizer to "
            "adamw, or compute.shard to false"
        )
    state = saved_state.read(state_file, fingerprint, optimization.steps)
    step = state["step"] if state else 0
    if len(found := set(processes.gathered(step))) > 1:
        raise TrainingError(f"the processes resume from steps {sorted(found)}: all must read the same {state_file}")
    if state:
        with saved_state.fitting(state_file):
            model.load_state_dict(state["parts"]["model"])
    if checkpointing:
        return_freed_memory()
        recompute.enable(model)
    model.train()
    together, trained = prepare(model, loss, accelerator, shard)
    own_optimizers = build(
        optimization.optimizer,
        trained,
        lr=optimization.lr,
        weight_decay=optimization.weight_decay,
        rates=optimization.rates,
    )
    highest = [
        group["lr"] for optimizer in own_optimizers for group in optimizer.param_groups
    ]  # without warm-up, decay
    by_name = {f"optimizer {i}": optimizer for i, optimizer in enumerate(own_optimizers)}
    parts: dict[str, Any] = {"model": model, **by_name, **({"curve": curve} if curve else {})}  # what a state holds
    if state:
        with saved_state.fitting(state_file):
            for name, optimizer in by_name.items():
                sharding.load_optimizer(optimizer, state["parts"][name])
            if curve:
                curve.load_state_dict(state["parts"]["curve"])
        del state
    optimizers = [accelerator.prepare(optimizer) for optimizer in own_optimizers]
    on_gpu = accelerator.device.type != "cpu"
    saver = saved_state.Saver(state_file, fingerprint, background=on_gpu) if state_file else None
    saved, skipped = time.monotonic(), 0
    while step < optimization.steps:
        # Dropout, if any, is a function of the step and the process too.
        torch.manual_seed((seed * 1_000_003 + step + processes.rank() * 2**40) % 2**63)
        scale = optimization.scale(step)
        for group, lr in zip((g for o in optimizers for g in o.param_groups), highest, strict=True):
            group["lr"] = lr * scale
        micro_batches = batches(step)
        if shard:  # whose every pass gathers weights from all processes
            more = processes.most(len(micro_batches), accelerator.device) - len(micro_batches)
            micro_batches = [*micro_batches, *[micro_batches[0].uncounted()] * more]
        overdue = accelerator.is_main_process and time.monotonic() - saved > save_every_seconds
        given = [sum(batch.weight for batch in micro_batches), float(overdue)]
        weight, due = processes.summed(given, accelerator.device)
        sums: Metrics = {}
        for number, batch in enumerate(micro_batches, 1):
            # Processes add up their gradients once per step, during the last backward pass.
            with gradients_apart(together, accelerator, number < len(micro_batches)):
                with accelerator.autocast():
                    total, metrics = together(batch.to(accelerator.device))
                if not torch.isfinite(total):
                    if not shard:  # in whose process there is only a part of them
                        _blame_weights(model, step)
                    raise TrainingError(
                        f"the loss is {total.item()} at step {step + 1}, in the batch of {list(batch.ids)}; "
                        "lower the learning rate, or look at these items"
                    )
                accelerator.backward(total * (batch.counts * processes.count()) / weight)  # DDP takes their mean
            for name, value in {"loss": total.item(), **metrics}.items():
                sums[name] = sums.get(name, 0.0) + value * batch.counts
        norm = sharding.full(accelerator.clip_grad_norm_(together.parameters(), optimization.max_grad_norm))
        if not torch.isfinite(norm) and accelerator.scaler is None:  # a scaler (fp16) leaves out such a step by itself
            own = [id_ for batch in micro_batches if batch.counts for id_ in batch.ids]
            ids = [id_ for each in processes.gathered(own) for id_ in each]
            raise TrainingError(
                f"the gradient's norm is {norm.item()} at step {step + 1}, which learns from {ids}; "
                "lower the learning rate, or look at these"
            )
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        skipped = skipped + 1 if accelerator.optimizer_step_was_skipped else 0
        if skipped == MOST_SKIPPED or skipped == step + 1 == optimization.steps:
            raise TrainingError(
                f"no gradient of the last {skipped} steps was finite in {precision}, up to step {step + 1}, so nothing "
                "was learned; take bf16 or float32 (compute.precision)"
            )
        if after_step:
            with sharding.whole(model, write=True):
                after_step()
        step += 1
        if on_step:
            totals = processes.summed(list(sums.values()), accelerator.device)
            means = {name: value / weight for name, value in zip(sums, totals, strict=True)}
            on_step(step, {**means, "lr": optimization.lr * scale, "grad_norm": float(norm)})
        if (due and may_save(step)) or step == optimization.steps:
            with sharding.whole(model):
                _blame_weights(model, step)
                if saver:
                    saver.save(parts, step, write=accelerator.is_main_process)
            saved = time.monotonic()
    if saver:
        saver.finish()
    sharding.join(model)
    if checkpointing:
        recompute.disable(model)
    return model.eval()


def _blame_weights(model: torch.nn.Module, step: int) -> None:
    """Refuse weights that are not finite after ``step`` steps.

    Raises:
        TrainingError: with the weight's name; the items of the step that finds it are not to blame.
    """
    if problem := not_finite(model):
        raise TrainingError(f"after step {step}, {problem}: the updates were too large; lower the learning rate")


def fingerprint_of(*parts: Any) -> str:
    """Return a digest that differs when any setting or digest of data does."""
    text = "|".join(str(part) for part in parts)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def length_buckets(lengths: Sequence[int], capacity: int, rng: np.random.Generator) -> list[list[int]]:
    """Return batches of items of like length, shuffled: longest × count ≤ ``capacity``, by padded lengths.

    Sorting within large random chunks leaves little padding and keeps the batches random. An item longer than the
    capacity gets a batch of its own.
    """
    lengths = [padded(length) for length in lengths]
    order = rng.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), 2000):
        chunk = sorted(order[start : start + 2000].tolist(), key=lambda i: lengths[i])
        current: list[int] = []
        for item in chunk:
            if current and lengths[item] * (len(current) + 1) > capacity:
                batches.append(current)
                current = []
            current.append(item)
        batches.append(current)
    return [batches[i] for i in rng.permutation(len(batches))]
