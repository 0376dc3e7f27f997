"""Stage ``nar_synthetic``: the paper's third NAR, trained on synthetic tokens. ``python -m tasks.nar.synthetic``

Table 1 of SpeechAlign (arXiv 2404.05600) asks whether a NAR that has learnt from synthetic tokens copes with them. It
is trained like ``sft_nar``, on the codes of ``model/gap/synthetic_codes.py``, and judged on the SFT policy's test
samples, those of ``evaluate_sft``. Training takes as long as ``sft_nar``, so it is off by default; the stage then
notes that.
"""

from __future__ import annotations

from typing import Any

import torch
import typer

from model import nar, policy
from model.codecs.registry import load_codec
from model.fast.onednn import use_onednn
from model.gap.synthetic_codes import resampled
from model.judges.panel import Panel
from tasks.common import judges, paths, runtime, schemas
from tasks.common.evaluation import EvaluationSet, seed_of
from tasks.common.files import atomic_path, read_table, write_json
from tasks.common.golden_audio import load_waves
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.prompts import Prompts, codes_of
from tasks.common.scores import compare, summarize, to_json
from tasks.common.stage import stage
from tasks.nar.training import Utterances, state_of, train

SHOWN = ("wer", "similarity")  # the columns of the paper's Table 1
CHUNK = 256  # utterances whose audio is in memory at a time


@stage
def main() -> None:
    """Train a NAR on synthetic level-1 tokens and judge it, if gap.train_synthetic_nar says so."""
    params, device = runtime.start()
    if not params.gap.train_synthetic_nar:
        with atomic_path(paths.SYNTHETIC_NAR) as folder:
            folder.mkdir()
            write_json(folder / "result.json", {"why": "gap.train_synthetic_nar is off"})
        print("nar_synthetic: off (gap.train_synthetic_nar)")
        return
    rows = read_table(paths.codes("train"), schemas.CODES)
    codes = synthetic_codes(rows, params, device)
    kept = share_of_golden_codes(rows, codes)
    data = Utterances(rows, params.prompt_frames, codes)
    model, _ = train(data, params, device, "nar_synthetic", policy.digest(paths.ar("0")))
    result = {"level1_kept": kept, **judge(model, params, device)}
    with atomic_path(paths.SYNTHETIC_NAR) as folder:
        nar.save(model, folder)
        write_json(folder / "result.json", result)
    state_of("nar_synthetic").unlink(missing_ok=True)
    scores, change = result["scores"], result["versus_golden_nar"]
    print(
        f"nar_synthetic: WER {scores['wer']['value']:.4f}, similarity {scores['similarity']['value']:.3f} "
        f"({change['wer']['value']:+.4f}, {change['similarity']['value']:+.3f} against the NAR trained on golden)"
    )


def synthetic_codes(rows: list[dict], params: Params, device: torch.device) -> list[torch.Tensor]:
    """Codes ``(levels, frames)`` of each train utterance with the SFT policy's level 1."""
    ar, codec = use_onednn(policy.load(paths.ar("0"), device)), load_codec(params.models.codec, device)
    prompts = Prompts(rows)
    seeds = [seed_of(params.seed, row["id"]) for row in rows]
    codes: list[torch.Tensor] = []
    with Bar("nar_synthetic codes", len(rows)) as bar:
        for first in range(0, len(rows), CHUNK):
            part = range(first, min(first + CHUNK, len(rows)))
            golden = [codes_of(rows[i]) for i in part]
            voices = [codes_of(rows[prompts.fixed(i, params.seed)])[:, : params.prompt_frames] for i in part]
            level1 = resampled(
                ar,
                [rows[i]["text"] for i in part],
                voices,
                [g[0] for g in golden],
                [seeds[i] for i in part],
                params.decoding.temperature,
                params.decoding.top_k,
            )
            waves = load_waves("train", [rows[i]["id"] for i in part])
            for i, own, tokens in zip(part, golden, level1, strict=True):
                wave = torch.from_numpy(waves[rows[i]["id"]])
                codes.append(codec.requantize(wave, tokens, own.shape[0]))
            bar.advance(len(part))
    return codes


def share_of_golden_codes(rows: list[dict], codes: list[torch.Tensor]) -> float:
    """Share of frames whose synthetic level-1 code is the golden one."""
    same = sum(int((codes_of(row)[0] == own[0]).sum()) for row, own in zip(rows, codes, strict=True))
    return same / sum(own.shape[1] for own in codes)


def judge(model: nar.Nar, params: Params, device: torch.device) -> dict[str, Any]:
    """Scores of the SFT policy's test samples through ``model``, and the paired difference to the golden NAR's."""
    rows = read_table(paths.codes("test"), schemas.CODES)
    test, texts = EvaluationSet(rows, params), [row["text"] for row in rows]
    sampled = {row["id"]: row for row in read_table(paths.test_samples("0"), schemas.SAMPLES)}
    level1 = [torch.tensor(sampled[row["id"]]["tokens"], dtype=torch.long) for row in rows]
    codec = load_codec(params.models.codec, device)
    completed = nar.complete(model, level1, test.prompts, params.evaluate.batch_size)
    waves = [wave.numpy() for wave in codec.decode(completed)]
    rate = codec.sample_rate
    panel, others = Panel(params.models.recognizer, device), judges.load_held_out(params, device, texts)
    judgements = panel.judge(waves, rate, texts, test.voices(panel, rate))
    opinions = others.judge(waves, rate, texts, test.voices(others, rate))
    finished = [sampled[row["id"]]["finished"] for row in rows]
    table = test.table("policy", judgements, opinions, [len(w) / rate for w in waves], finished)
    resamples, seed = params.evaluate.bootstrap_samples, params.seed
    scores = summarize(table, resamples, seed)
    change = compare(read_table(paths.utterances("0"), schemas.UTTERANCES), table, resamples, seed)
    return {
        "scores": to_json({name: scores[name] for name in SHOWN}),
        "versus_golden_nar": to_json({name: change[name] for name in SHOWN}),
    }


if __name__ == "__main__":
    typer.run(main)
