"""Golden and sampled level-1 tokens of the test set, read and turned into what the NAR sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from model import nar as nar_lib
from model.fast.onednn import use_onednn
from model.gap.representation import Basis, pooled
from model.layouts.layout import Layout
from tasks.common import paths, schemas
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rows import read_rows
from tasks.common.utterances import Row, Utterances


@dataclass(frozen=True)
class Compared:
    """Test utterances three ways, in one order: golden, this iteration's samples, the start policy's."""

    ids: list[str]
    left_out: int  # utterances for which this policy, or the start, sampled nothing
    codebook_size: int
    basis: Basis  # of golden train utterances: the same in every iteration
    golden_tokens: list[np.ndarray]
    tokens: list[np.ndarray]
    start_tokens: list[np.ndarray]
    golden: np.ndarray  # (utterances, width), from model.gap.representation.pooled
    synthetic: np.ndarray
    start: np.ndarray


def read_compared(iteration: str, params: Params, device: torch.device) -> Compared:
    """Read the test set and both policies' samples of it, and pass them through the NAR.

    Raises:
        DataError: samples of other utterances, prompts or seeds than the test set's or the start's.
    """
    test = Utterances.read("test")
    samples, first = _samples(iteration, test), _samples("0", test)
    if different := [i for i in samples if any(samples[i][k] != first[i][k] for k in ("prompt_id", "seed"))]:
        raise DataError(
            f"{len(different)} test utterances of iteration {iteration} were sampled with another prompt or seed than "
            f"the start's (the first is {different[0]}); run `evaluate` of both again"
        )
    ids = sorted(i for i in samples if len(samples[i]["tokens"]) and len(first[i]["tokens"]))
    nar = use_onednn(nar_lib.load(paths.NAR, device))
    layout = Layout.of_policy(paths.ar("0"))
    prompts = [test.codes(test.find(samples[i]["prompt_id"]))[:, : params.prompt_frames] for i in ids]

    def states(level1: list[np.ndarray]) -> np.ndarray:
        return pooled(nar, [torch.from_numpy(t) for t in level1], prompts, params.evaluate.batch_size)

    golden_tokens = [test.level1(test.find(i)).astype(np.int64) for i in ids]
    tokens, start_tokens = ([layout.read(s[i]["tokens"]).speech.levels[0] for i in ids] for s in (samples, first))
    synthetic = states(tokens)
    return Compared(
        ids=ids,
        left_out=len(test) - len(ids),
        codebook_size=nar.config.codebook_size,
        basis=_basis(nar, params),
        golden_tokens=golden_tokens,
        tokens=tokens,
        start_tokens=start_tokens,
        golden=states(golden_tokens),
        synthetic=synthetic,
        start=synthetic if iteration == "0" else states(start_tokens),
    )


def _samples(iteration: str, test: Utterances) -> dict[str, Row]:
    found = {row["id"]: row for row in read_rows(paths.test_samples(iteration), schemas.SAMPLES)}
    if different := found.keys() ^ set(test.ids):
        raise DataError(
            f"{paths.test_samples(iteration)} and {paths.codes('test')} differ in {len(different)} utterances; "
            "run `evaluate` again"
        )
    return found


def _basis(nar: nar_lib.Nar, params: Params) -> Basis:
    """Principal directions of golden train utterances, which neither side of the comparison takes part in."""
    train = Utterances.read("train")
    chosen = np.random.default_rng([params.seed, 5]).permutation(len(train))[: params.gap.reference].tolist()
    level1 = [train.codes(i)[0] for i in chosen]
    voices = [train.codes(train.fixed(i, params.seed))[:, : params.prompt_frames] for i in chosen]
    return Basis.fit(pooled(nar, level1, voices, params.evaluate.batch_size), params.gap.dimensions)
