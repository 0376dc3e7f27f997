"""Stage ``sft_ar``: the AR of iteration 0, adopted from ``policy.start`` or trained. ``python -m tasks.policy``"""

from __future__ import annotations

from math import nan

import numpy as np
import torch
import typer
from transformers import PreTrainedModel

from model import policy
from model.batch import Batch
from model.codecs.facts import codec_facts
from model.codecs.registry import load_codec
from model.policy import Policy
from model.processes import count, micro_batches
from model.silence import silent_tokens
from tasks.common import environment, origin, paths, runtime, schemas, tracking
from tasks.common.curves import Curve
from tasks.common.epochs import Epochs
from tasks.common.files import atomic_path, write_json, write_table
from tasks.common.launch import part, train_together
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.start import start_folder
from tasks.common.tracking import Run
from tasks.common.training import state_of, train_on_golden
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.policy.adopt import adopt, check_room
from tasks.policy.sequences import Sequences, held_out_loss, loss_of

ADOPTED = "adopted"  # instead of the precision that SFT was trained in


def untrained(params: Params) -> Policy:
    """Return the AR to train, for the codes of ``models.codec``."""
    size = codec_facts(params.models.codec).codebook_size
    layout = params.policy.layout or "own"
    shape, characters = policy.ArShape(**params.ar.model_dump()), params.spelling.characters
    return policy.build(shape, size, params.sft_ar.dropout, layout, characters)


def train(model: PreTrainedModel, data: Sequences, params: Params, device: torch.device, run: Run) -> Curve:
    """Train an AR on ``data`` with the settings ``params.sft_ar``, and return its curve."""
    p = params.sft_ar
    model.config.codec = origin.codec_name(params.models.codec)
    schedule = Epochs(data.lengths, p.batch_tokens, ([params.seed, epoch] for epoch in range(p.epochs)))

    def batches(step: int) -> list[Batch]:
        drawn = data.drawn(schedule[step], np.random.default_rng([params.seed, 1, step]))
        return micro_batches(drawn, len(drawn), data.batch)

    return train_on_golden(
        model,
        batches,
        loss_of,
        p,
        steps=len(schedule),
        name="sft_ar",
        command="tasks.policy",
        depends_on=[params.ar],
        params=params,
        device=device,
        log=lambda rows: run.log_curve("sft_ar", rows),
    )


@stage
def main() -> None:
    """Adopt the policy of policy.start, or train a new AR on golden level-1 codes: iteration 0."""
    params, device = runtime.start()
    start = start_folder(params, "ar")
    if not start:
        train_together(params, device)
    first = adopt(start, params, device) if start else untrained(params)
    # Samples of it and of what is aligned from it are told to be silent by these.
    first.model.config.silent_tokens = silent_tokens(load_codec(params.models.codec), first.layout)
    levels = sum(first.layout.code_tokens.per_frame)
    golden, dev, test = (Utterances.read(split, levels) for split in ("train", "dev", "test"))
    check_room([golden, dev, test], params, first)

    def sequences(split: Utterances) -> Sequences:
        return Sequences(Voices.of(split, params), first.layout, prompt_loss=params.sft_ar.prompt_loss)

    ids = tracking.start_loop(params)
    paths.tracking("0").unlink(missing_ok=True)  # of an earlier training, perhaps in another precision
    trained = environment.describe(params, device)
    precision = ADOPTED if start else trained["sft_precision"]
    with tracking.resume(ids, "0") as run:
        run.set_tags(environment.tags("trained", {**trained, "sft_precision": precision, "processes": count()}))
        curve = Curve()
        if not start:
            curve = train(first.model, sequences(golden), params, device, run)
            part()
        words = first.layout.spec.word is not None  # golden targets would need alignments
        loss = nan if words else held_out_loss(first.model, sequences(dev), params.sft_ar.batch_tokens, params.seed)
        made = f"adopted from {start}" if start else f"train {curve.rows[-1]['loss'] if curve.rows else 0:.3f}"
        if words:
            print(f"sft_ar: no held-out loss, words are not aligned ({made})")
        else:
            print(f"sft_ar: held-out loss {loss:.3f} nats per token ({made})")
        with atomic_path(paths.ar("0")) as folder:
            policy.save(first, folder)
        found = origin.write(paths.origin(), paths.ar("0"), params)
        run.set_tags({f"origin.{name}": value for name, value in found.items()})
        if not words:
            run.log_metrics({"sft_ar/held_out_loss": loss}, int(curve.rows[-1]["step"]) if curve.rows else 0)
    curve.write(paths.curve("0"))  # no rows, if adopted
    write_json(paths.tracking("0"), {**ids, "sft_precision": precision})
    write_table(paths.pairs("0"), [], schemas.PAIRS)  # iteration 1 has no earlier ones to replay
    state_of("sft_ar").unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
