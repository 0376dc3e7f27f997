"""Measure the checkpoints: ``python -m bootstrap.measure``.

Codec: PocketSphinx, which this project did not train, transcribes original and resynthesis of the held-out texts, and
Resemblyzer compares the voices. Recognizer: it transcribes golden and resynthesized speech of its training voices
(``test``) and of other voices (``unseen``, where the corpus has any). Writes ``<work>/measure.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import typer

from model import metrics, statistics
from model.codecs.registry import load_codec
from model.judges import asr, grammar, speaker, words
from model.judges.waves import cosine
from tasks.common import yaml12
from tasks.common.stage import one_message


def load_split(path: Path) -> tuple[list[torch.Tensor], list[str], list[str]]:
    """Return float waveforms ``(samples,)``, texts and voices of one file of ``bootstrap.data``."""
    data = np.load(path)
    ends = np.cumsum(data["lengths"])
    audio = torch.from_numpy(data["audio"])
    waves = [audio[end - n : end].float() / 32768 for end, n in zip(ends, data["lengths"], strict=True)]
    return waves, [str(t) for t in data["texts"]], [str(v) for v in data["voices"]]


def error_counts(references: Sequence[str], hypotheses: Sequence[str]) -> list[metrics.EditCounts]:
    """Count the word edits of each utterance, as the judges do."""
    return [words.compare(*both).words for both in zip(references, hypotheses, strict=True)]


def rate(counts: list[metrics.EditCounts]) -> dict:
    """Return the micro-averaged error rate with its interval."""
    errors, asked = [c.errors for c in counts], [c.n_reference for c in counts]
    return {**statistics.bootstrap_interval(errors, asked).to_json(), "utterances": len(counts)}


def measure_codec(waves: list, copies: list, texts: list[str], voices: list[str]) -> dict:
    """Compare resynthesis with original: content by PocketSphinx, voice by Resemblyzer."""
    decoder = grammar.load_decoder()
    before = error_counts(texts, grammar.transcribe_digits(waves, decoder))
    after = error_counts(texts, grammar.transcribe_digits(copies, decoder))
    asked = [c.n_reference for c in before]
    difference = statistics.paired_interval([c.errors for c in before], [c.errors for c in after], asked, asked)
    encoder = speaker.load_speaker_encoder()
    same = metrics.count_missing(cosine(speaker.embed(encoder, waves), speaker.embed(encoder, copies)))
    by_voice = {v: float(np.mean([s for s, w in zip(same, voices, strict=True) if w == v])) for v in set(voices)}
    worst = min(by_voice, key=lambda v: by_voice[v])
    return {
        "voices": len(set(voices)),
        "pocketsphinx_wer_original": rate(before),
        "pocketsphinx_wer_resynthesis": rate(after),
        "pocketsphinx_wer_difference": difference.to_json(),
        "similarity_to_original": statistics.bootstrap_interval(same).to_json(),
        "similarity_of_worst_voice": {"value": by_voice[worst], "voice": worst},
    }


@one_message()
def main(
    params_file: Path = Path("bootstrap/params.yaml"),
    work: Path = Path("bootstrap/work"),
    codec: Path | None = None,
    recognizer: Path | None = None,
    part: str = "all",
) -> None:
    """Measure ``<work>/codec`` and ``<work>/whisper``, or the folders given, for instance the exported ones.

    ``--part codec`` or ``--part recognizer`` measures one of them and leaves the other's numbers as they are.
    """
    if part not in ("all", "codec", "recognizer"):
        raise typer.BadParameter(f"part is {part!r}; expected all, codec or recognizer")
    params = yaml12.loads(params_file.read_text())
    torch.set_num_threads(params["recognizer"]["threads"])
    codec_model = load_codec(str(codec or work / "codec"))
    judge = asr.load_recognizer(recognizer or work / "whisper") if part != "codec" else None
    out = work / "measure.json"
    result: dict = json.loads(out.read_text()) if part != "all" and out.is_file() else {}
    for split, suffix in (("test", ""), ("unseen", "_unseen_voices")):
        file = work / "data" / f"{split}.npz"
        if split == "unseen" and not file.is_file():
            print(f"{file} is missing: the corpus has no unseen speakers, so their numbers are left out", flush=True)
            for name in (f"codec{suffix}", f"recognizer{suffix}"):
                result.pop(name, None)  # of an earlier corpus
            continue
        waves, texts, voices = load_split(file)
        copies = codec_model.decode(codec_model.encode(waves))
        copies = [c[: len(w)] for c, w in zip(copies, waves, strict=True)]  # the codec fills its last frame
        if part != "recognizer":
            result[f"codec{suffix}"] = measure_codec(waves, copies, texts, voices)
        if judge is not None:
            result[f"recognizer{suffix}"] = {
                "wer_golden": rate(error_counts(texts, asr.transcribe(judge, waves))),
                "wer_resynthesis": rate(error_counts(texts, asr.transcribe(judge, copies))),
            }
    out.write_text(json.dumps(result, indent=2) + "\n")
    for name, values in result.items():
        for key, value in values.items():
            if isinstance(value, dict):
                interval = f"[{value['low']:.4f}, {value['high']:.4f}]" if "low" in value else f"({value['voice']})"
                print(f"{name:25} {key:28} {value['value']:.4f} {interval}")


if __name__ == "__main__":
    typer.run(main)
