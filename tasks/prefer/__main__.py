"""Stage ``prefer@k``: samples → pairs with reference log-probabilities. ``python -m tasks.prefer --iteration 1``"""

from __future__ import annotations

import copy
from typing import Annotated, Any

import numpy as np
import torch
import typer

from model import policy
from model.fast.onednn import use_onednn
from model.fast.parallel import parallel_map
from model.judges.panel import Judgement, Panel
from model.objectives.logprobs import collate, sequence_logprobs
from model.pairs.sequences import sequences_of
from model.voice import Voice
from tasks.common import paths, runtime, schemas
from tasks.common.files import DataError, read_table, write_table
from tasks.common.golden_audio import load_waves
from tasks.common.judges import SPEAKER_ENCODER, recognizer_name
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.prompts import codes_of
from tasks.common.stage import stage
from tasks.prefer.sources import pair_up, source_of

Row = dict[str, Any]


@stage
def main(iteration: Annotated[str, typer.Option(help="iteration whose samples to pair")]) -> None:
    """Judge an iteration's samples, build its pairs, and cache the reference log-probabilities with them."""
    params, device = runtime.start()
    folder = paths.ar(params.iteration(iteration).prev)
    rows = {row["id"]: row for row in read_table(paths.codes("train"), schemas.CODES)}
    samples = read_table(paths.samples(iteration), schemas.SAMPLES)
    if unknown := {s["id"] for s in samples} - rows.keys():
        raise DataError(
            f"{paths.samples(iteration)} has ids that are not in train: {sorted(unknown)[:5]}; sample again"
        )
    earlier: list[Row] = []
    if params.prefer.accumulate:  # read before minutes of judging
        earlier = read_table(paths.pairs(params.iteration(iteration).prev), schemas.PAIRS)
    voice = Voice.load(folder, paths.NAR, params.models.codec, device, params.prompt_frames)
    judge = f"{recognizer_name(params.models.recognizer)}+{SPEAKER_ENCODER}"
    source = source_of(params, iteration, samples, rows, judge)
    judgements = listen(params, voice, samples, rows, Panel(params.models.recognizer, device), iteration)
    pairs = pair_up(source, samples, judgements, rows, params, iteration)
    if not pairs:
        raise DataError(
            f"iteration {iteration}: {len({s['id'] for s in samples})} texts gave no pair (source "
            f"{params.prefer.source}, WER gap {params.prefer.min_wer_gap}); {source.advice}"
        )
    pairs += earlier
    anchor = folder if params.prefer.reference == "previous" else paths.ar("0")
    reference = use_onednn(voice.ar if anchor == folder else policy.load(anchor, device))
    add_reference_logprobs(pairs, reference, params.decoding.batch_size, iteration)
    digest = policy.digest(anchor)
    pairs = [{**pair, "reference": digest} for pair in pairs]
    write_table(paths.judgements(iteration), table_of(samples, judgements, judge), schemas.JUDGEMENTS)
    write_table(paths.pairs(iteration), pairs, schemas.PAIRS)
    mean = float(np.mean([j.word_errors for j in judgements]) / np.mean([j.words for j in judgements]))
    new = sum(p["iteration"] == iteration for p in pairs)
    print(
        f"prefer@{iteration}: {new} new pairs and {len(pairs) - new} earlier ones; WER of all fresh samples {mean:.4f}"
    )


def table_of(samples: list[Row], judgements: list[Judgement], judge: str) -> list[Row]:
    """Rows of schemas.JUDGEMENTS, one a sample, in the samples' order."""
    return [
        {
            **{name: sample[name] for name in ("id", "draw", "seed")},
            "hypothesis": j.hypothesis,
            "word_errors": j.word_errors,
            "words": j.words,
            "similarity": j.similarity,
            "judge": judge,
        }
        for sample, j in zip(samples, judgements, strict=True)
    ]


def listen(
    params: Params, voice: Voice, samples: list[Row], rows: dict[str, Row], panel: Panel, iteration: str
) -> list[Judgement]:
    """Render every sample and judge it against its text and its prompt's voice."""
    prompt_ids = sorted({s["prompt_id"] for s in samples})
    waves = load_waves("train", prompt_ids)
    place = {id_: i for i, id_ in enumerate(prompt_ids)}
    voices = panel.embed([waves[i] for i in prompt_ids], voice.sample_rate)
    chunk = 4 * params.decoding.batch_size
    device = next(voice.ar.parameters()).device.type
    parts = [samples[first : first + chunk] for first in range(0, len(samples), chunk)]
    # Whisper hangs its cache on the model while it decodes, so each worker has a panel of its own; weights are shared.
    weights = {id(tensor): tensor for judge in (panel.recognizer, panel.speaker) for tensor in judge.parameters()}
    others = min(torch.get_num_threads(), len(parts)) - 1 if device == "cpu" else 0
    panels = [panel, *(copy.deepcopy(panel, dict(weights)) for _ in range(others))]
    with Bar(f"prefer@{iteration} judge", len(samples)) as bar:

        def one(worker: int, part: list[Row]) -> list[Judgement]:
            prompts = [codes_of(rows[s["prompt_id"]])[:, : params.prompt_frames] for s in part]
            level1 = [torch.tensor(s["tokens"], dtype=torch.long) for s in part]
            _, rendered = voice.render(level1, prompts, params.decoding.batch_size)
            texts = [rows[s["id"]]["text"] for s in part]
            part_voices = voices[[place[s["prompt_id"]] for s in part]]
            return panels[worker].judge(rendered, voice.sample_rate, texts, part_voices, bar.advance)

        judged = parallel_map(one, parts, device)
    return [judgement for part in judged for judgement in part]


@torch.inference_mode()
def add_reference_logprobs(pairs: list[Row], ar: torch.nn.Module, batch_size: int, iteration: str) -> None:
    """Fill in both sides' log-probabilities under ``ar``, the reference."""
    vocabulary, device = policy.vocabulary_of(ar), next(ar.parameters()).device
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i]["chosen"]) + len(pairs[i]["rejected"]))
    with Bar(f"prefer@{iteration} reference", len(pairs)) as bar:
        for first in range(0, len(order), batch_size):
            part = [pairs[i] for i in order[first : first + batch_size]]
            ids, labels = collate(*sequences_of(part, vocabulary))
            scored = sequence_logprobs(ar(input_ids=ids.to(device), use_cache=False).logits.float(), labels.to(device))
            for pair, chosen, rejected in zip(part, scored[: len(part)], scored[len(part) :], strict=True):
                pair["chosen_logprob"], pair["rejected_logprob"] = chosen.item(), rejected.item()
            bar.advance(len(part))


if __name__ == "__main__":
    typer.run(main)
