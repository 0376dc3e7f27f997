"""Stage ``sft_ar``: supervised fine-tuning of the AR on golden tokens. ``python -m tasks.policy``"""

from __future__ import annotations

import numpy as np
import torch
import typer

from model import policy
from model.batch import Batch
from model.codecs.facts import codec_facts
from model.objectives.logprobs import IGNORE, collate, next_token_logits, token_logprobs
from model.tokens import Vocabulary
from model.training import Optimization, fingerprint_of, fit, length_buckets
from tasks.common import environment, paths, runtime, schemas, tracking
from tasks.common.curves import Curve
from tasks.common.decoding import decoding_of
from tasks.common.digests import md5
from tasks.common.files import DataError, atomic_path, read_table, write_json, write_table
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.prompts import Prompts
from tasks.common.stage import stage


class Sequences:
    """Golden utterances as AR sequences. Prompts are random crops, so the policy can't learn where prompts begin."""

    def __init__(self, rows: list[dict], vocabulary: Vocabulary, prompt_frames: int):
        self.rows, self.vocabulary, self.prompt_frames = rows, vocabulary, prompt_frames
        self.prompts = Prompts(rows)
        self.level1 = [row["codes"][0] for row in rows]
        self.lengths = [len(row["text"]) + prompt_frames + len(c) + 3 for row, c in zip(rows, self.level1, strict=True)]

    def batch(self, indices: list[int], rng: np.random.Generator) -> Batch:
        contexts, targets = [], []
        for index in indices:
            prompt = self.level1[self.prompts.other(index, rng)]
            start = int(rng.integers(max(0, len(prompt) - self.prompt_frames) + 1))
            prompt = prompt[start : start + self.prompt_frames]
            contexts.append(self.vocabulary.context(self.rows[index]["text"], prompt))
            targets.append(self.vocabulary.target(self.level1[index]))
        tokens, labels = collate(contexts, targets)
        ids, scored = [self.rows[i]["id"] for i in indices], float((labels != IGNORE).sum())
        return Batch(ids=ids, weight=scored, tokens=tokens, labels=labels)


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Negative log-likelihood of the target tokens, in nats."""
    logits, labels = next_token_logits(model, batch["tokens"]), batch["labels"]
    correct = ((logits.argmax(-1) == labels) & (labels != IGNORE)).sum().item()
    return -token_logprobs(logits, labels).sum(), {"accuracy": float(correct)}


@torch.inference_mode()
def held_out_loss(model: torch.nn.Module, data: Sequences, capacity: int, seed: int) -> float:
    """Mean negative log-likelihood a token on another split, in nats."""
    rng, device = np.random.default_rng(seed), next(model.parameters()).device
    batches = [data.batch(indices, rng) for indices in length_buckets(data.lengths, capacity, rng)]
    return sum(loss_of(model, b.to(device))[0].item() for b in batches) / sum(b.weight for b in batches)


def check_room(rows: list[dict], params: Params) -> None:
    """Stop before the training rather than after it: ``sample`` and ``evaluate`` refuse what may grow too long.

    Raises:
        DataError: the longest text, its prompt and the frames it may be given exceed ``ar.max_positions``.
    """
    row = max(rows, key=lambda row: len(row["text"]))
    decoding = decoding_of(params)
    frames = decoding.max_frames(row["text"])
    context = len(Vocabulary(1).context(row["text"], [0] * params.prompt_frames))
    if context + frames > params.ar.max_positions:
        raise DataError(
            f"the text of {row['id']} has {len(row['text'])} characters: with a prompt of {params.prompt_frames} frames"
            f" and up to {frames} sampled ones (decoding.max_frames_per_character: "
            f"{params.decoding.max_frames_per_character:g}) it takes {context + frames} positions, but "
            f"ar.max_positions is {params.ar.max_positions}; raise that to {context + frames} at least, or lower "
            "decoding.max_frames_per_character or prepare.max_seconds"
        )


@stage
def main() -> None:
    """Train the AR from nothing on golden level-1 tokens: iteration 0."""
    params, device = runtime.start()
    p = params.sft_ar
    train = read_table(paths.codes("train"), schemas.CODES)
    dev = read_table(paths.codes("dev"), schemas.CODES)
    check_room(train + dev + read_table(paths.codes("test"), schemas.CODES), params)
    vocabulary = Vocabulary(codec_facts(params.models.codec).codebook_size)
    data = Sequences(train, vocabulary, params.prompt_frames)
    model = policy.build(policy.ArShape(**params.ar.model_dump()), vocabulary, p.dropout)
    schedule = [
        (epoch, batch)
        for epoch in range(p.epochs)
        for batch in length_buckets(data.lengths, p.batch_tokens, np.random.default_rng([params.seed, epoch]))
    ]
    ids = tracking.start_loop(params)
    curve, state = Curve(every=max(1, len(schedule) // 300)), paths.STATE / "sft_ar.pt"
    with tracking.resume(ids, "0") as run, Bar("sft_ar", len(schedule)) as bar:
        run.set_tags(environment.tags("trained", environment.describe(params, device)))

        def on_step(step: int, metrics: dict[str, float]) -> None:
            curve.add(step, metrics)
            bar.advance(note=f"loss {metrics['loss']:.3f}")
            run.log_curve("sft_ar", curve.fresh())

        fit(
            model,
            lambda step: [data.batch(schedule[step][1], np.random.default_rng([params.seed, 1, step]))],
            loss_of,
            Optimization(
                lr=p.lr,
                steps=len(schedule),
                warmup=p.warmup,
                weight_decay=p.weight_decay,
                optimizer=p.optimizer,
            ),
            seed=params.seed,
            state_file=state,
            fingerprint=fingerprint_of(
                p,
                params.ar,
                params.seed,
                params.prompt_frames,
                params.models.codec,
                params.compute.precision,
                md5(paths.codes("train")),
            ),
            precision=runtime.precision_of(params.compute.precision, device),
            cpu=device.type == "cpu",
            on_step=on_step,
            curve=curve,
        )
        run.log_curve("sft_ar", curve.fresh())
        loss = held_out_loss(model, Sequences(dev, vocabulary, params.prompt_frames), p.batch_tokens, params.seed)
        print(
            f"sft_ar: held-out loss {loss:.3f} nats a token (train {curve.rows[-1]['loss'] if curve.rows else 0:.3f})"
        )
        run.log_metrics({"sft_ar/held_out_loss": loss}, len(schedule))
    with atomic_path(paths.ar("0")) as folder:
        policy.save(model, folder)
    curve.write(paths.curve("0"))
    write_json(paths.tracking("0"), ids)
    write_table(paths.pairs("0"), [], schemas.PAIRS)  # iteration 1 accumulates over nothing
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
