"""The paper's third NAR: trained like ``sft_nar``, on synthetic tokens.

Its data are the codes of ``model/gap/synthetic_codes.py``. It is judged on the start policy's test samples, those of
``evaluate_sft``. Training takes as long as ``sft_nar``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from model import nar, policy
from model.codecs.registry import load_codec
from model.fast.onednn import use_onednn
from model.gap.synthetic_codes import resampled
from model.judges.panel import Panel
from model.layouts.layout import Layout
from tasks.common import cuts, judges, paths, runtime, schemas
from tasks.common.evaluation import EvaluationSet, Judges, judge, seed_of
from tasks.common.files import atomic_path, read_table, write_json
from tasks.common.launch import part, train_together
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.rows import read_rows
from tasks.common.scores import compare, first_draws, summarize, to_json
from tasks.common.training import state_of
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.nar.training import Examples, train

SHOWN = ("wer", "similarity")  # the columns of the paper's Table 1
CHUNK = 256  # utterances whose codes are drawn and made at a time


def train_and_judge() -> None:
    """Train a NAR on synthetic level-1 tokens, judge it, and write both."""
    params, device = runtime.start()
    train_together(params, device)
    golden = Utterances.read("train")
    synthetic = golden.with_codes(synthetic_codes(golden, params, device))
    kept = share_of_golden_codes(golden, synthetic)
    data = Examples(golden, params.prompt_frames, synthetic)
    source = policy.digest(paths.ar("0"))
    model, _ = train(data, params, device, name="nar_synthetic", command="tasks.nar.synthetic", source=source)
    part()
    result = {"level1_kept": kept, **scores_of(model, params, device)}
    with atomic_path(paths.SYNTHETIC_NAR) as folder:
        nar.save(model, folder)
        write_json(folder / "result.json", result)
    state_of("nar_synthetic").unlink(missing_ok=True)
    scores, change = result["scores"], result["versus_golden_nar"]
    print(
        f"nar_synthetic: WER {scores['wer']['value']:.4f}, similarity {scores['similarity']['value']:.3f} "
        f"({change['wer']['value']:+.4f}, {change['similarity']['value']:+.3f} against the NAR trained on golden)"
    )


def synthetic_codes(golden: Utterances, params: Params, device: torch.device) -> Iterator[list[np.ndarray]]:
    """Yield codes ``(levels, frames)`` of a part of the utterances at a time, level 1 drawn by the start policy."""
    start, codec = policy.load(paths.ar("0"), device), load_codec(params.models.codec, device)
    use_onednn(start.model)
    voices, waves = Voices.of(golden, params), cuts.waves_in_order("train", golden.ids)
    with Bar("nar_synthetic codes", len(golden)) as bar:
        for first in range(0, len(golden), CHUNK):
            part = range(len(golden))[first : first + CHUNK]
            own = [golden.codes(i) for i in part]
            level1 = resampled(
                start,
                [golden.texts[i] for i in part],
                [voices.prompt(golden.fixed(i, params.seed)) for i in part],
                [codes[0] for codes in own],
                [seed_of(params.seed, golden.ids[i]) for i in part],
                params.decoding.temperature,
                params.decoding.top_k,
            )
            both = zip(own, level1, strict=True)
            yield [
                codec.requantize(torch.from_numpy(next(waves)), tokens, codes.shape[0]).numpy()
                for codes, tokens in both
            ]
            bar.advance(len(part))


def share_of_golden_codes(golden: Utterances, synthetic: Utterances) -> float:
    """Share of frames whose synthetic level-1 code is the golden one."""
    same = sum(int((golden.level1(i) == synthetic.level1(i)).sum()) for i in range(len(golden)))
    return same / int(synthetic.frames.sum())


def scores_of(model: nar.Nar, params: Params, device: torch.device) -> dict[str, Any]:
    """Scores of the start policy's test samples through ``model``, and the paired difference to the golden NAR's."""
    test = EvaluationSet.read("test", params, ["recorded"])
    by_id = {row["id"]: row for row in read_rows(paths.test_samples("0"), schemas.SAMPLES)}
    before = first_draws(read_table(paths.utterances("0"), schemas.UTTERANCES))
    sampled = [by_id[row["id"]] for row in test.rows]
    layout = Layout.of_policy(paths.ar("0"))
    level1 = [torch.from_numpy(layout.read(row["tokens"]).speech.levels[0]) for row in sampled]
    codec = load_codec(params.models.codec, device)
    prompts = [torch.from_numpy(prompt.speech.rows) for prompt in test.prompts]
    completed = nar.complete(model, level1, prompts, params.evaluate.batch_size)
    waves = [wave.numpy() for wave in codec.decode(completed)]
    both = Judges(Panel(params.models.recognizer, device), judges.load_held_out(params, device, test.texts))
    voices = [test.voices(one, codec.sample_rate) for one in both]
    judged = {row["id"]: row for row in judge(both, test.rows, waves, codec.sample_rate, voices)}
    table = [{**row, **judged[row["id"]]} for row in before]  # draw, seed and decoding are the same
    resamples, seed = params.evaluate.bootstrap_samples, params.seed
    scores = summarize(table, resamples, seed)
    change = compare(before, table, resamples, seed)
    return {
        "scores": to_json({name: scores[name] for name in SHOWN}),
        "versus_golden_nar": to_json({name: change[name] for name in SHOWN}),
    }
