"""Stage ``sample@k``: samples of the policy for texts of the pool. ``python -m tasks.sample --iteration 1``"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import torch
import typer

from model import policy
from model.sampling import Decoding, Request, Sampled, by_context, sample
from model.vllm_server import Server, check_same_policy
from tasks.common import paths, runtime, schemas
from tasks.common.decoding import decoding_of
from tasks.common.engine import Workers
from tasks.common.engine.backend import Done, Places
from tasks.common.files import write_table
from tasks.common.finished import check_finished
from tasks.common.frame_parallel import check_settings
from tasks.common.pool import Pool
from tasks.common.progress import Bar
from tasks.common.stage import stage
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices


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
    rows, requests = [], []
    for text in pool.rows(chosen):
        request = sampled_policy.request(text["text"], voices.prompt_of(text["prompt_id"]), decoding=decoding, seed=0)
        for draw in range(params.sample.draws):
            seed = int(rng.integers(2**62))
            rows.append({**{name: text[name] for name in ("id", "text", "prompt_id")}, "draw": draw, "seed": seed})
            requests.append(replace(request, seed=seed))
    batch_size, engine = params.decoding.batch_size, params.sample.engine
    work = partial(drawn, decoding=decoding, batch_size=batch_size, precision=params.compute.precision)
    with workers, Bar(f"sample@{iteration}", len(requests)) as bar:
        if engine == "own":
            sampled = workers.spread(work, requests, key=by_context, size=batch_size, on_done=bar.advance)
        else:
            sampled = Server(engine).sample(requests, decoding, sampled_policy.drawable, bar.advance)
            check_same_policy(sampled_policy.model, engine, requests[0], sampled[0])
    for row, s in zip(rows, sampled, strict=True):
        row |= {
            "tokens": s.tokens,
            "logprobs": s.logprobs,
            "behavior": s.behavior,
            "finished": s.finished,
            "stop": s.stop,
            "stuck": s.stuck,
            "redrawn": s.redrawn,
            "temperature": decoding.temperature,
            "top_k": decoding.top_k,
            "top_p": decoding.top_p,
            "max_frames_per_character": decoding.max_frames_per_character,
            "policy": digest,
        }
    check_finished([s.finished for s in sampled], params)
    write_table(paths.samples(iteration), rows, schemas.SAMPLES)
    cut_off = sum(not s.finished for s in sampled)
    print(
        f"sample@{iteration}: {len(sampled)} samples of {len(chosen)} texts, {cut_off} cut off, "
        f"{sum(s.stuck for s in sampled)} stuck, {sum(s.redrawn > 0 for s in sampled)} drawn again, "
        f"{sum(len(s.tokens) for s in sampled) // len(layout.code_tokens.slots)} frames"
    )


if __name__ == "__main__":
    typer.run(main)
