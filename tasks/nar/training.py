"""Training of a NAR: batches, loss and schedule, whatever the level-1 tokens are that it is to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import nar
from model.batch import Batch
from model.codecs.facts import codec_facts
from model.fast.padding import PAD_TO
from model.training import Optimization, fingerprint_of, fit, length_buckets
from tasks.common import paths, runtime
from tasks.common.curves import Curve
from tasks.common.digests import md5
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.prompts import Prompts, codes_of


class Utterances:
    """Utterances with random crops of other golden utterances by the speaker as prompts.

    ``codes`` are what is learnt, ``(levels, frames)`` each; the golden codes of ``rows`` unless others are given.
    """

    def __init__(self, rows: list[dict], prompt_frames: int, codes: list[torch.Tensor] | None = None):
        self.rows, self.prompt_frames = rows, prompt_frames
        self.prompts = Prompts(rows)
        self.golden = [codes_of(row) for row in rows]
        self.codes = self.golden if codes is None else codes
        self.lengths = [c.shape[1] for c in self.codes]

    def batch(self, indices: list[int], level: int, rng: np.random.Generator) -> Batch:
        """Return padded codes up to ``level``, which is to be predicted, and prompts; the weight counts frames."""
        prompts = []
        for index in indices:
            prompt = self.golden[self.prompts.other(index, rng)]
            start = int(rng.integers(max(0, prompt.shape[1] - self.prompt_frames) + 1))
            prompts.append(prompt[:, start : start + self.prompt_frames])
        codes, lengths = nar.pad_codes([self.codes[i] for i in indices], PAD_TO)
        prompt, prompt_lengths = nar.pad_codes(prompts)
        ids = [self.rows[i]["id"] for i in indices]
        return Batch(
            ids=ids,
            weight=float(lengths.sum()),
            codes=codes[:, : level + 1],
            lengths=lengths,
            prompt=prompt,
            prompt_lengths=prompt_lengths,
        )


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy of one level's codes, in nats, summed over frames."""
    codes, lengths = batch["codes"], batch["lengths"]
    level = codes.shape[1] - 1
    logits = model(codes[:, :level], lengths, batch["prompt"], batch["prompt_lengths"], level)
    real = torch.arange(codes.shape[-1], device=codes.device) < lengths[:, None]
    target = codes[:, level][real]
    scored = logits[real].float()
    correct = (scored.argmax(-1) == target).sum().item()
    return F.cross_entropy(scored, target, reduction="sum"), {"accuracy": float(correct)}


def train(data: Utterances, params: Params, device: torch.device, name: str, source: str = "") -> tuple[nar.Nar, Curve]:
    """A NAR trained on ``data`` as ``params.sft_nar`` says, and its curve.

    Args:
        name: of the stage: shown with the progress, and where the state to resume from is kept.
        source: digest of what made the data, if that is not the corpus: a state of other data is not resumed from.
    """
    p = params.sft_nar
    n_levels = data.codes[0].shape[0]
    config = nar.NarConfig(
        n_codebooks=n_levels,
        codebook_size=codec_facts(params.models.codec).codebook_size,
        layers=params.nar.layers,
        width=params.nar.width,
    )
    model = nar.Nar(config)
    schedule = [
        batch
        for epoch in range(p.epochs)
        for batch in length_buckets(data.lengths, p.batch_frames, np.random.default_rng([params.seed, 2, epoch]))
    ]
    curve = Curve(every=max(1, len(schedule) // 300))
    with Bar(name, len(schedule)) as bar:

        def on_step(step: int, metrics: dict[str, float]) -> None:
            curve.add(step, metrics)
            bar.advance(note=f"loss {metrics['loss']:.3f}")

        # Levels in turn, so that every step of the same level has the same share of them.
        fit(
            model,
            lambda s: [data.batch(schedule[s], 1 + s % (n_levels - 1), np.random.default_rng([params.seed, 3, s]))],
            loss_of,
            Optimization(
                lr=p.lr,
                steps=len(schedule),
                warmup=p.warmup,
                weight_decay=p.weight_decay,
                optimizer=p.optimizer,
            ),
            seed=params.seed,
            state_file=state_of(name),
            fingerprint=fingerprint_of(
                p,
                params.nar,
                params.seed,
                params.prompt_frames,
                params.models.codec,
                params.compute.precision,
                md5(paths.codes("train")),
                source,
            ),
            precision=runtime.precision_of(params.compute.precision, device),
            cpu=device.type == "cpu",
            on_step=on_step,
            curve=curve,
        )
    return model, curve


def state_of(name: str) -> Path:
    """Where the training of that name keeps its state, until its caller has written the NAR and removes it."""
    return paths.STATE / f"{name}.pt"
