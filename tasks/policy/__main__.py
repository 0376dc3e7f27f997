"""Stage ``sft_ar``: supervised fine-tuning of the AR on golden tokens. ``python -m tasks.policy``"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import typer

from model import policy
from model.batch import Batch
from model.codecs.facts import codec_facts
from model.objectives.logprobs import IGNORE, collate, next_token_logits, token_logprobs
from model.tokens import Vocabulary
from model.training import length_buckets
from tasks.common import environment, paths, runtime, schemas, tracking
from tasks.common.decoding import decoding_of
from tasks.common.epochs import Epochs
from tasks.common.files import DataError, atomic_path, write_json, write_table
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.training import state_of, train_on_golden
from tasks.common.utterances import Utterances


class Sequences:
    """Golden utterances as AR sequences, each after a random crop of another by the speaker."""

    def __init__(self, golden: Utterances, vocabulary: Vocabulary, prompt_frames: int):
        self.golden, self.vocabulary, self.prompt_frames = golden, vocabulary, prompt_frames
        self.lengths = golden.texts.lengths() + golden.frames + (prompt_frames + 3)

    def batch(self, indices: Sequence[int] | np.ndarray, rng: np.random.Generator) -> Batch:
        golden, vocabulary = self.golden, self.vocabulary
        prompts = [golden.random_prompt(i, self.prompt_frames, rng)[0] for i in indices]
        contexts = [vocabulary.context(golden.texts[i], prompt) for i, prompt in zip(indices, prompts, strict=True)]
        tokens, labels = collate(contexts, [vocabulary.target(golden.level1(i)) for i in indices])
        ids, scored = [golden.ids[i] for i in indices], float((labels != IGNORE).sum())
        return Batch(ids=ids, weight=scored, tokens=tokens, labels=labels)


def loss_of(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    """Negative log-likelihood of the target tokens, in nats."""
    logits, labels = next_token_logits(model, batch["tokens"]), batch["labels"]
    correct = ((logits.argmax(-1) == labels) & (labels != IGNORE)).sum().item()
    return -token_logprobs(logits, labels).sum(), {"accuracy": float(correct)}


@torch.inference_mode()
def held_out_loss(model: torch.nn.Module, data: Sequences, capacity: int, seed: int) -> float:
    """Mean negative log-likelihood per token on another split, in nats."""
    rng, device = np.random.default_rng(seed), next(model.parameters()).device
    batches = [data.batch(indices, rng) for indices in length_buckets(data.lengths.tolist(), capacity, rng)]
    return sum(loss_of(model, b.to(device))[0].item() for b in batches) / sum(b.weight for b in batches)


def check_room(splits: Sequence[Utterances], params: Params) -> None:
    """Check before the training that the longest text has room: ``sample`` and ``evaluate`` refuse what has none.

    Raises:
        DataError: the longest text, its prompt and the frames it may be given exceed ``ar.max_positions``.
    """
    places = [(data, int(data.texts.lengths().argmax())) for data in splits if len(data)]
    text, utterance = max(((data.texts[i], data.ids[i]) for data, i in places), key=lambda found: len(found[0]))
    frames = decoding_of(params).max_frames(text)
    context = len(Vocabulary(1).context(text, [0] * params.prompt_frames))
    if context + frames > params.ar.max_positions:
        raise DataError(
            f"the text of {utterance} has {len(text)} characters: with a prompt of {params.prompt_frames} frames"
            f" and up to {frames} sampled ones (decoding.max_frames_per_character: "
            f"{params.decoding.max_frames_per_character:g}) it takes {context + frames} positions, but "
            f"ar.max_positions is {params.ar.max_positions}; raise that to {context + frames} at least, or lower "
            "decoding.max_frames_per_character or prepare.max_seconds"
        )


@stage
def main() -> None:
    """Train a new AR on golden level-1 tokens: iteration 0."""
    params, device = runtime.start()
    p = params.sft_ar
    train, dev, test = (Utterances.read(split, levels=1) for split in ("train", "dev", "test"))
    check_room([train, dev, test], params)
    vocabulary = Vocabulary(codec_facts(params.models.codec).codebook_size)
    data = Sequences(train, vocabulary, params.prompt_frames)
    model = policy.build(policy.ArShape(**params.ar.model_dump()), vocabulary, p.dropout)
    schedule = Epochs(data.lengths, p.batch_tokens, ([params.seed, epoch] for epoch in range(p.epochs)))
    ids = tracking.start_loop(params)
    paths.tracking("0").unlink(missing_ok=True)  # of an earlier training, perhaps in another precision
    trained = environment.describe(params, device)
    with tracking.resume(ids, "0") as run:
        run.set_tags(environment.tags("trained", trained))
        curve = train_on_golden(
            model,
            lambda step: [data.batch(schedule[step], np.random.default_rng([params.seed, 1, step]))],
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
        loss = held_out_loss(model, Sequences(dev, vocabulary, params.prompt_frames), p.batch_tokens, params.seed)
        print(
            f"sft_ar: held-out loss {loss:.3f} nats per token (train {curve.rows[-1]['loss'] if curve.rows else 0:.3f})"
        )
        run.log_metrics({"sft_ar/held_out_loss": loss}, len(schedule))
    with atomic_path(paths.ar("0")) as folder:
        policy.save(model, folder)
    curve.write(paths.curve("0"))
    write_json(paths.tracking("0"), {**ids, "sft_precision": trained["sft_precision"]})
    write_table(paths.pairs("0"), [], schemas.PAIRS)  # iteration 1 accumulates over nothing
    state_of("sft_ar").unlink(missing_ok=True)


if __name__ == "__main__":
    typer.run(main)
