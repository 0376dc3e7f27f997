"""Judging of an iteration's samples: rendered, transcribed, and compared with the voice of their prompt."""

from __future__ import annotations

import copy

import torch

from model.fast.parallel import parallel_map
from model.judges.panel import Judgement, Panel, judgement_of
from model.voice import Voice
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.utterances import Row, Utterances, load_waves


def judge_samples(
    params: Params, voice: Voice, samples: list[Row], train: Utterances, panel: Panel, iteration: str
) -> list[Judgement]:
    """Render every sample and judge it against its text and its prompt's voice, in the samples' order."""
    prompt_ids = sorted({s["prompt_id"] for s in samples})
    waves = load_waves("train", prompt_ids)
    place = {id_: i for i, id_ in enumerate(prompt_ids)}
    voices = panel.embed([waves[i] for i in prompt_ids], voice.sample_rate)
    chunk = 4 * params.decoding.batch_size
    device = voice.ar.device.type
    parts = [samples[first : first + chunk] for first in range(0, len(samples), chunk)]
    # Whisper keeps its cache on the model while it decodes, so each worker has a panel of its own; weights are shared.
    weights = {id(tensor): tensor for judge in (panel.recognizer, panel.speaker) for tensor in judge.parameters()}
    others = min(torch.get_num_threads(), len(parts)) - 1 if device == "cpu" else 0
    panels = [panel, *(copy.deepcopy(panel, dict(weights)) for _ in range(others))]
    with Bar(f"prefer@{iteration} judge", len(samples)) as bar:

        def judge(worker: int, part: list[Row]) -> list[Judgement]:
            prompts = [train.codes(train.find(s["prompt_id"]))[:, : params.prompt_frames] for s in part]
            level1 = [torch.tensor(s["tokens"], dtype=torch.long) for s in part]
            _, rendered = voice.render(level1, prompts, params.decoding.batch_size)
            texts = [s["text"] for s in part]
            part_voices = voices[[place[s["prompt_id"]] for s in part]]
            return panels[worker].judge(rendered, voice.sample_rate, texts, part_voices, bar.advance)

        judged = parallel_map(judge, parts, device)
    return [judgement for part in judged for judgement in part]


def judgement_rows(samples: list[Row], judgements: list[Judgement], judge: str) -> list[Row]:
    """Rows of ``schemas.JUDGEMENTS``, one per sample, in the samples' order; ``judge`` names who judged."""
    return [
        {
            **{name: sample[name] for name in ("id", "draw", "seed")},
            **{name: getattr(j, name) for name in ("hypothesis", "word_errors", "words", "similarity")},
            "judge": judge,
        }
        for sample, j in zip(samples, judgements, strict=True)
    ]


def judged_before(samples: list[Row], judge: str, iteration: str) -> list[Judgement]:
    """Return the judgements that ``runs/<iteration>/judgements.parquet`` holds of these samples.

    Raises:
        DataError: they are of other samples or by another judge.
    """
    file = paths.judgements(iteration)
    rows = read_table(file, schemas.JUDGEMENTS)
    expected = [(sample["id"], sample["seed"], judge) for sample in samples]
    if [(row["id"], row["seed"], row["judge"]) for row in rows] != expected:
        raise DataError(f"{file} is not {judge}'s judgement of {paths.samples(iteration)}; run without --judged")
    return [
        judgement_of(sample["text"], row["hypothesis"], row["similarity"])
        for sample, row in zip(samples, rows, strict=True)
    ]
