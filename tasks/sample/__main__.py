"""Stage ``sample@k``: the policy reads train texts. ``python -m tasks.sample --iteration 1``"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from model import policy
from model.sampling import Request, sample
from tasks.common import paths, runtime, schemas
from tasks.common.decoding import decoding_of
from tasks.common.files import read_table, write_table
from tasks.common.progress import Bar
from tasks.common.prompts import Prompts
from tasks.common.stage import stage


@stage
def main(
    iteration: Annotated[str, typer.Option(help="iteration to sample for; its predecessor's policy speaks")],
) -> None:
    """Sample synthetic level-1 tokens for an iteration's share of the train texts."""
    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    ar = policy.load(folder, device)
    vocabulary = policy.vocabulary_of(ar)
    rows = read_table(paths.codes("train"), schemas.CODES)
    prompts = Prompts(rows)
    # A fresh draw of texts each iteration: seeded by the loop's seed and the iteration's name.
    rng = np.random.default_rng([params.seed, 4, *iteration.encode()])
    chosen = rng.permutation(len(rows))[: params.sample.prompts].tolist()
    decoding = decoding_of(params)
    digest = policy.digest(folder)
    meta, requests = [], []
    for index in chosen:
        prompt = rows[prompts.other(index, rng)]
        context = tuple(vocabulary.context(rows[index]["text"], prompt["codes"][0][: params.prompt_frames]))
        for draw, temperature in enumerate(params.sample.temperatures):
            seed = int(rng.integers(2**62))
            made = {"draw": draw, "seed": seed, "temperature": temperature}
            meta.append({"id": rows[index]["id"], "prompt_id": prompt["id"], **made})
            requests.append(Request(context, decoding.max_frames(rows[index]["text"]), seed, temperature))
    with Bar(f"sample@{iteration}", len(requests)) as bar:
        sampled = sample(ar, requests, decoding, params.decoding.batch_size, bar.advance)
    write_table(
        paths.samples(iteration),
        [
            {
                **m,
                "tokens": s.tokens.tolist(),
                "logprobs": s.logprobs.tolist(),
                "finished": s.finished,
                "top_k": decoding.top_k,
                "max_frames_per_character": decoding.max_frames_per_character,
                "policy": digest,
            }
            for m, s in zip(meta, sampled, strict=True)
        ],
        schemas.SAMPLES,
    )
    cut_off = sum(not s.finished for s in sampled)
    print(
        f"sample@{iteration}: {len(sampled)} samples, {cut_off} cut off, {sum(len(s.tokens) for s in sampled)} frames"
    )


if __name__ == "__main__":
    typer.run(main)
