"""The training of a stage: shown with a progress bar, recorded in a curve, and resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from model.batch import Batch
from model.training import LossFunction, Metrics, Optimization, fingerprint_of, fit
from tasks.common import paths, runtime
from tasks.common.code.closure import Project
from tasks.common.code.running import SOURCES
from tasks.common.curves import Curve
from tasks.common.digests import md5
from tasks.common.params import Params
from tasks.common.params.models import SftAr, SftNar
from tasks.common.progress import Bar


def train(
    model: torch.nn.Module,
    batches: Callable[[int], Sequence[Batch]],
    loss: LossFunction,
    optimization: Optimization,
    *,
    name: str,
    command: str,
    depends_on: Sequence[Any],
    params: Params,
    device: torch.device,
    precision: str = "no",
    points: int = 50,
    log: Callable[[list[Metrics]], None] = lambda rows: None,
    may_save: Callable[[int], bool] = lambda step: True,
    after_step: Callable[[], None] | None = None,
    checkpointing: bool = False,
) -> Curve:
    """Train ``model`` in place by :func:`model.training.fit` and return the curve.

    A killed training resumes from its state, unless that belongs to other settings, other data or other code. The
    code's digests are computed here, so that this holds without DVC too.

    Args:
        name: shown with the progress; the state lies at :func:`state_of` of it.
        command: the module that runs, ``tasks.align``: its code is what a state depends on.
        depends_on: settings and digests of data that a state depends on as well.
        precision: accelerate's name of it.
        points: rows of the curve.
        log: given the curve's new rows after every step.
        may_save: whether a run can resume after this many steps.
        after_step: called after each update of the weights: a constraint on them.
        checkpointing: compute each block again for its gradient, so that only its input is held.
    """
    curve = Curve(every=max(1, optimization.steps // points))
    with Bar(name, optimization.steps) as bar:

        def on_step(step: int, metrics: Metrics) -> None:
            if step > bar.done + 1:
                bar.resume(step - 1)
            curve.add(step, metrics)
            accuracy = f", accuracy {metrics['accuracy']:.2f}" if "accuracy" in metrics else ""
            bar.advance(note=f"loss {metrics['loss']:.3f}{accuracy}")
            log(curve.fresh())

        fit(
            model,
            batches,
            loss,
            optimization,
            seed=params.seed,
            state_file=state_of(name),
            fingerprint=fingerprint_of(Project(SOURCES).closure(command), params.seed, precision, *depends_on),
            precision=precision,
            cpu=device.type == "cpu",
            on_step=on_step,
            may_save=may_save,
            after_step=after_step,
            curve=curve,
            checkpointing=checkpointing,
            shard=params.compute.shard,
        )
    log(curve.fresh())
    return curve


def train_on_golden(
    model: torch.nn.Module,
    batches: Callable[[int], Sequence[Batch]],
    loss: LossFunction,
    settings: SftAr | SftNar,
    *,
    steps: int,
    name: str,
    command: str,
    depends_on: Sequence[Any],
    params: Params,
    device: torch.device,
    log: Callable[[list[Metrics]], None] = lambda rows: None,
) -> Curve:
    """Train the AR or the NAR on the train split; arguments as for :func:`train`."""
    return train(
        model,
        batches,
        loss,
        Optimization(steps=steps, **settings.model_dump(include={"lr", "warmup", "weight_decay", "optimizer"})),
        name=name,
        command=command,
        depends_on=[settings, params.prompt_frames, params.models.codec, md5(paths.codes("train")), *depends_on],
        params=params,
        device=device,
        precision=runtime.precision_of(params.compute.precision, device),
        points=300,
        log=log,
    )


def state_of(name: str) -> Path:
    """Return where that training keeps its state. Its caller removes the file after writing what was trained."""
    return paths.STATE / f"{name}.pt"
