"""Stage ``sample@k``: samples of the policy for texts of the pool. ``python -m tasks.sample --iteration 1``"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import numpy as np
import pyarrow as pa
import torch
import typer

from model import policy
from model.sampling import Decoding, Request, Sampled, by_context, sample
from model.vllm_server import Server, check_same_policy
from tasks.common import paths, runtime, schemas
from tasks.common.decoding import decoding_of
from tasks.common.engine import Workers, cut
from tasks.common.engine.backend import Done, Places
from tasks.common.files import write_row_groups
from tasks.common.finished import check_finished
from tasks.common.frame_parallel import check_settings
from tasks.common.pool import Pool
from tasks.common.progress import Bar
from tasks.common.stage import stage
from tasks.common.utterances import Row, Utterances
from tasks.common.voices import Voices

WAVE = 2048  # samples that are in memory at a time


@dataclass(frozen=True)
class PolicyParts:
    """A worker's policy."""

    folder: str

    @property
    def folders(self) -> Sequence[str]:
        return [self.folder]

    def load(self, at: Places, device: torch.device) -> policy.Policy:
        return policy.load(at(self.folder), device)


def drawn(
    of: policy.Policy, requests: list[Request], done: Done, *, decoding: Decoding, batch_size: int, precision: str
) -> list[Sampled]:
    """Return the sample of each request."""
    dtype = runtime.dtype_of(precision, of.device)
    return sample(of.model, requests, decoding, of.drawable, batch_size, done, dtype)


@dataclass
class Tally:
    """What the samples so far have come to."""

    finished: list[bool] = field(default_factory=list)
    stuck: int = 0
    redrawn: int = 0
    tokens: int = 0

    def count(self, sampled: Sequence[Sampled]) -> None:
        """Add samples."""
        self.finished += [s.finished for s in sampled]
        self.stuck += sum(s.stuck for s in sampled)
        self.redrawn += sum(s.redrawn > 0 for s in sampled)
        self.tokens += sum(len(s.tokens) for s in sampled)


def fields(of: Sampled, decoding: Decoding, digest: str) -> Row:
    """Return a sample's columns of ``schemas.SAMPLES``: what came of it, and how and by which policy it was drawn."""
    names = ("tokens", "logprobs", "behavior", "finished", "stop", "stuck", "redrawn")
    settings = ("temperature", "top_k", "top_p", "max_frames_per_character")
    return (
        {name: getattr(of, name) for name in names}
        | {name: getattr(decoding, name) for name in settings}
        | {"policy": digest}
    )


@stage
def main(
    iteration: Annotated[str, typer.Option(help="iteration to sample for; its predecessor's policy is sampled")],
) -> None:
    """Sample synthetic codes for an iteration's share of the pool, every draw at one temperature."""
    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    check_settings(folder, params)
    workers = Workers(params, PolicyParts(str(folder)), device)
    sampled_policy = workers.state
    layout = sampled_policy.layout
    train = Utterances.read("train", sum(layout.code_tokens.per_frame))
    pool, voices = Pool(train), Voices.of(train, params)
    # Each iteration draws other texts: the seed is the loop's with the iteration's name.
    rng = np.random.default_rng([params.seed, 4, *iteration.encode()])
    chosen = rng.permutation(len(pool))[: params.sample.prompts].tolist()
    decoding = decoding_of(params)
    digest = policy.digest(folder)
    batch_size, engine = params.decoding.batch_size, params.sample.engine
    work = partial(drawn, decoding=decoding, batch_size=batch_size, precision=params.compute.precision)
    tally = Tally()

    def ask(texts: list[int]) -> Iterator[tuple[Row, Request]]:
        for text in pool.rows(texts):
            prompt = voices.prompt_of(text["prompt_id"])
            request = sampled_policy.request(text["text"], prompt, decoding=decoding, seed=0)
            for draw in range(params.sample.draws):
                seed = int(rng.integers(2**62))
                row = {**{name: text[name] for name in ("id", "text", "prompt_id")}, "draw": draw, "seed": seed}
                yield row, replace(request, seed=seed)

    def wave(texts: list[int]) -> pa.Table:
        rows, requests = map(list, zip(*ask(texts), strict=True))
        if engine == "own":
            sampled = workers.spread(work, requests, key=by_context, size=batch_size, on_done=bar.advance)
        else:
            sampled = Server(engine).sample(requests, decoding, sampled_policy.drawable, bar.advance)
            check_same_policy(sampled_policy.model, engine, requests[0], sampled[0])
        tally.count(sampled)
        found = [row | fields(one, decoding, digest) for row, one in zip(rows, sampled, strict=True)]
        return pa.Table.from_pylist(found, schema=schemas.SAMPLES)

    def waves() -> Iterator[pa.Table]:
        for texts in cut(chosen, max(1, WAVE // params.sample.draws)):
            yield wave(texts)  # by another function, whose samples end with it
        check_finished(tally.finished, params)

    with workers, Bar(f"sample@{iteration}", len(chosen) * params.sample.draws) as bar:
        write_row_groups(paths.samples(iteration), waves(), schemas.SAMPLES)
    print(
        f"sample@{iteration}: {len(tally.finished)} samples of {len(chosen)} texts, "
        f"{len(tally.finished) - sum(tally.finished)} cut off, {tally.stuck} stuck, {tally.redrawn} drawn again, "
        f"{tally.tokens // len(layout.code_tokens.slots)} frames"
    )


if __name__ == "__main__":
    typer.run(main)
