"""Stage ``ceiling``: golden speech under the same judges, three ways. ``python -m tasks.ceiling``

These rows bound what a policy can be expected to reach: golden speech itself, golden speech through the codec, and
golden level-1 tokens through the NAR. They are of the recorded set: the long one has no golden speech. The similarity
of a voice has bounds of its own (:mod:`tasks.ceiling.voices`).
"""

from __future__ import annotations

import numpy as np
import torch
import typer

from model import nar as nar_lib
from model.codecs.registry import load_codec
from model.fast.onednn import use_onednn
from model.judges.panel import Panel
from tasks.ceiling.voices import bounds
from tasks.common import environment, judges, paths, runtime, schemas
from tasks.common.evaluation import GOLDEN, EvaluationSet, Judges, audio_choice, judge, write_flac
from tasks.common.files import atomic_path, write_json, write_table
from tasks.common.no_nar import has_nar
from tasks.common.scores import Scores, by_speaker_kind, to_json
from tasks.common.stage import stage
from tasks.common.utterances import Utterances, load_waves


@stage
def main() -> None:
    """Judge golden, resynthesized and golden-through-the-NAR speech of the test split."""
    params, device = runtime.start()
    rows = Utterances.read("test")
    test = EvaluationSet.read("test", params, ["recorded"])
    codec = load_codec(params.models.codec, device)
    panel = Panel(params.models.recognizer, device)
    both = Judges(panel, judges.load_held_out(params, device, test.texts))
    golden = load_waves("test", rows.ids)
    codes = [rows.codes(i) for i in range(len(rows))]
    own = [rows.voice(i) for i in range(len(rows))]
    systems: dict[str, list[np.ndarray]] = {
        "golden": [golden[i] for i in rows.ids],
        "resynthesised": _to_length(codec.decode(codes, voices=own), rows, codec.sample_rate),
    }
    if has_nar():
        nar = use_onednn(nar_lib.load(paths.NAR, device))
        prompts = [torch.from_numpy(prompt.speech.rows) for prompt in test.prompts]
        completed = nar_lib.complete(nar, [c[0] for c in codes], prompts, params.evaluate.batch_size)
        systems["golden_nar"] = _to_length(codec.decode(completed), rows, codec.sample_rate)
    table: list[dict] = []
    scores: dict[str, dict[str, Scores]] = {}
    seeds, voices = test.seeds(0), tuple(test.voices(one, codec.sample_rate) for one in both)
    for system, waves in systems.items():
        judged = judge(both, test.rows, waves, codec.sample_rate, voices)
        part = [{**row, **GOLDEN, "system": system, "seed": seed} for row, seed in zip(judged, seeds, strict=True)]
        scores[system] = by_speaker_kind(part, params.evaluate.bootstrap_samples, params.seed)
        table += part
    index = []
    with atomic_path(paths.CEILING / "audio") as folder:
        folder.mkdir()
        for i in audio_choice(test.rows, params.evaluate.audio_samples):
            row = test.rows[i]
            for kind, wave in (
                ("prompt", golden[row["prompt_id"]]),
                ("golden", systems["golden"][i]),
                ("resynthesised", systems["resynthesised"][i]),
            ):
                write_flac(folder / f"{row['id']}.{kind}.flac", wave, codec.sample_rate)
            said = {"prompt_text": rows.texts[rows.find(row["prompt_id"])]}
            index.append({k: row[k] for k in ("id", "text", "speaker", "seen", "prompt_id")} | said)
        write_json(folder / "index.json", index)
    write_table(paths.CEILING / "utterances.parquet", table, schemas.UTTERANCES)
    found = {system: {kind: to_json(part) for kind, part in kinds.items()} for system, kinds in scores.items()}
    ends = bounds(test, systems["golden"], panel, codec.sample_rate, params)
    metrics = {
        **found,
        "voices": {kind: to_json(part) for kind, part in ends.items()},
        "environment": environment.describe(params, device),
    }
    write_json(paths.CEILING / "metrics.json", metrics)
    for system, kinds in scores.items():
        print(f"ceiling: {system}: " + ", ".join(f"{name} {score:.4f}" for name, score in kinds["all"].items()))


def _to_length(waves: list[torch.Tensor], rows: Utterances, sample_rate: int) -> list[np.ndarray]:
    """Cut the codec's last partial frame back to the golden length."""
    return [w[: round(s * sample_rate)].numpy() for w, s in zip(waves, rows.seconds.tolist(), strict=True)]


if __name__ == "__main__":
    typer.run(main)
