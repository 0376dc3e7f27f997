"""Training of a NAR on golden or on synthetic level-1 tokens: batches, loss and schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from model import nar
from model.batch import Batch
from model.codecs.facts import codec_facts
from model.fast.padding import PAD_TO
from model.processes import micro_batches
from tasks.common.curves import Curve
from tasks.common.epochs import Epochs
from tasks.common.params import Params
from tasks.common.training import train_on_golden
from tasks.common.utterances import Utterances


class Examples:
    """Utterances with random crops of other golden utterances by the speaker as prompts.

    Args:
        codes: the same utterances with the codes to learn from, if these are not the golden ones.
    """

    def __init__(self, golden: Utterances, prompt_frames: int | None, codes: Utterances | None = None):
        self.golden, self.prompt_frames = golden, prompt_frames
        self.codes = golden if codes is None else codes

    def drawn(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
        """Return utterances, each with the codes of a random voice prompt."""
        return [(i, self.golden.random_prompt(i, self.prompt_frames, rng)[1]) for i in indices]

    def batch(self, drawn: Sequence[tuple[int, np.ndarray]], level: int) -> Batch:
        """Return padded codes up to ``level``, which is to be predicted, and prompts; the weight counts frames."""
        prompt, prompt_lengths = nar.pad_codes([torch.from_numpy(crop.astype(np.int64)) for _, crop in drawn])
        codes, lengths = nar.pad_codes([self.codes.codes(i) for i, _ in drawn], PAD_TO)
        return Batch(
            ids=[self.golden.ids[i] for i, _ in drawn],
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


def train(
    data: Examples, params: Params, device: torch.device, *, name: str, command: str, source: str = ""
) -> tuple[nar.Nar, Curve]:
    """Return a NAR trained on ``data`` with the settings ``params.sft_nar``, and its curve.

    Args:
        name: of the stage, whose state is kept under it. command: the stage's module.
        source: digest of the policy that made the data, if one did; a state of other data is not resumed from.
    """
    p = params.sft_nar
    n_levels = data.codes.codes(0).shape[0]
    config = nar.NarConfig(
        n_codebooks=n_levels,
        codebook_size=codec_facts(params.models.codec).codebook_size,
        layers=params.nar.layers,
        width=params.nar.width,
    )
    model = nar.Nar(config)
    schedule = Epochs(data.codes.frames, p.batch_frames, ([params.seed, 2, epoch] for epoch in range(p.epochs)))

    def batches(step: int) -> list[Batch]:
        level = 1 + step % (n_levels - 1)  # levels take turns, so that each gets the same number of steps
        drawn = data.drawn(schedule[step], np.random.default_rng([params.seed, 3, step]))
        return micro_batches(drawn, len(drawn), lambda own: data.batch(own, level))

    curve = train_on_golden(
        model,
        batches,
        loss_of,
        p,
        steps=len(schedule),
        name=name,
        command=command,
        depends_on=[params.nar, source],
        params=params,
        device=device,
    )
    return model, curve
