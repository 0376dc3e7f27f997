"""One training loop for every model: accelerate for device and precision; resumable; on a CPU deterministic.

A step's data is a pure function of the step's number and its loss a sum over items divided by the step's total weight.
So a resumed run equals an uninterrupted one, and one batch of eight equals eight accumulated batches of one.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from model.errors import SpeechAlignError
from model.fast.padding import padded
from model.optimizers import build


class TrainingError(SpeechAlignError):
    """Training cannot go on: the loss is not finite, or saved state does not fit."""


class Carried(Protocol):
    """What else changes from step to step and is kept with the state: a training curve."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class MicroBatch(Protocol):
    """A piece of a step's data. ``weight`` is what its loss sum will be divided by (tokens, or pairs)."""

    @property
    def weight(self) -> float: ...

    @property
    def ids(self) -> Sequence[str]: ...


Metrics = dict[str, float]  # sums over a micro-batch's items; the loop divides them by the step's weight
LossFunction = Callable[[torch.nn.Module, Any], tuple[torch.Tensor, Metrics]]


@dataclass(frozen=True)
class Optimization:
    """AdamW or Muon (:mod:`model.optimizers`) with linear warm-up and cosine decay to a tenth."""

    lr: float
    steps: int
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    optimizer: str = "adamw"

    def scale(self, step: int) -> float:
        """Learning-rate factor of a step."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    model: torch.nn.Module,
    batches: Callable[[int], Sequence[MicroBatch]],
    loss_of: LossFunction,
    optimization: Optimization,
    *,
    seed: int,
    state_file: Path | None = None,
    fingerprint: str = "",
    save_every_seconds: float = 60.0,
    precision: str = "no",
    cpu: bool = False,
    on_step: Callable[[int, Metrics], None] | None = None,
    may_save: Callable[[int], bool] = lambda step: True,
    carried: Carried | None = None,
) -> torch.nn.Module:
    """Train ``model`` in place and return it, unwrapped and in evaluation mode.

    Args:
        batches: micro-batches of a step, the same every time it is asked.
        loss_of: sum of the items' losses, and sums of whatever else should be reported.
        state_file: where to keep optimiser, weights and step; a run that finds one with its own ``fingerprint`` goes
            on from there, and one with another's ignores it. It is kept at the end, too: the caller removes it once
            what was trained is written.
        fingerprint: says which run a state belongs to: settings and digests of the data.
        on_step: called after each step with the step's number (from 1) and mean metrics, with ``loss`` and ``lr``.
        may_save: whether a run can go on from after this many steps. False between the steps that share samples drawn
            from the model itself (PPO): those can't be drawn again from a later model.
        carried: kept with the state, and given back its own when a run goes on.

    Raises:
        TrainingError: a loss that is not finite, with the ids of its batch: nothing is updated by it. Several processes
            (``accelerate launch``): a step is trained by one.
    """
    AcceleratorState._reset_state()  # one process may train twice, in another precision; the devices stay as they are
    accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
    optimizers = build(optimization.optimizer, model, optimization.lr, optimization.weight_decay)
    if accelerator.num_processes > 1:
        raise TrainingError(
            f"expected one training process, found {accelerator.num_processes}: start the stage without "
            "`accelerate launch`; it uses one GPU"
        )
    step = _restore(state_file, fingerprint, model, optimizers, carried)
    model, *optimizers = accelerator.prepare(model, *optimizers)
    model.train()
    saved = time.monotonic()
    while step < optimization.steps:
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)  # dropout, if any, is a function of the step too
        lr = optimization.lr * optimization.scale(step)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = lr
        everything = batches(step)
        weight = sum(b.weight for b in everything)
        sums: Metrics = {}
        for batch in everything:
            with accelerator.autocast():
                loss, metrics = loss_of(model, batch)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss.item()} at step {step + 1}, in the batch of {list(batch.ids)}; "
                    "lower the learning rate, or look at these items"
                )
            accelerator.backward(loss / weight)
            for name, value in {"loss": loss.item(), **metrics}.items():
                sums[name] = sums.get(name, 0.0) + value
        norm = accelerator.clip_grad_norm_(model.parameters(), optimization.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        if on_step:
            means = {name: value / weight for name, value in sums.items()}
            on_step(step, {**means, "lr": lr, "grad_norm": float(norm)})
        due = time.monotonic() - saved > save_every_seconds and may_save(step)
        if state_file and (due or step == optimization.steps):
            save_state(state_file, fingerprint, accelerator.unwrap_model(model), optimizers, step, carried)
            saved = time.monotonic()
    return accelerator.unwrap_model(model).eval()


def save_state(
    path: Path,
    fingerprint: str,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    carried: Carried | None = None,
) -> None:
    """Write the state whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    state = {
        "fingerprint": fingerprint,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "carried": carried.state_dict() if carried else {},
    }
    torch.save(state, temporary)
    os.replace(temporary, path)


def _restore(
    path: Path | None,
    fingerprint: str,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    carried: Carried | None,
) -> int:
    """Load a state that belongs to this run; the step to go on from, 0 if there is none."""
    if path is None or not path.is_file():
        return 0
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a torn file: torch raises many kinds
        raise TrainingError(f"{path} cannot be read ({error}); delete it to train from the start") from error
    if state["fingerprint"] != fingerprint:
        return 0
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    if carried:
        carried.load_state_dict(state["carried"])
    return state["step"]


def fingerprint_of(*parts: Any) -> str:
    """A string that differs when any setting or digest does."""
    return "|".join(str(asdict(p)) if hasattr(p, "__dataclass_fields__") else str(p) for p in parts)


def length_buckets(lengths: Sequence[int], capacity: int, rng: np.random.Generator) -> list[list[int]]:
    """Shuffle items into batches of like length: longest × count ≤ ``capacity``, by the lengths they are padded to.

    Sorting within large random chunks leaves little padding and the batches still random. An item longer than the
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
