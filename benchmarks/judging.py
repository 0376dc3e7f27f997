"""Speed of transcription against Whisper's own, file by file: ``python -m benchmarks.judging``.

Four ways on one recognizer (``models.recognizer``) and the same test utterances, interleaved in one run, all greedy and
without timestamps:

* this project's ``transcribe``, in batches as the stages call it;
* ``whisper.transcribe``, one recording after another. It assumes a window of 30 s and fails on a shorter one (the
  embedded recognizer's), so its two constants are set to the model's window here. Nothing else is changed;
* the same on recordings padded with silence to the window. ``whisper.transcribe`` pads the mel with zeros, which are
  not silence; we and ``whisper.decode`` pad the sound, so a text may differ;
* ``whisper.decode``, one recording after another, on the mel that we give it.

Prints seconds of audio per second, the ratios with 95 % intervals over rounds, and the share of texts that are the same
after normalization.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
import typer
import whisper
from lhotse import CutSet
from whisper.audio import HOP_LENGTH, SAMPLE_RATE

from benchmarks.ratios import ratio_line
from model.judges import asr
from model.judges.waves import at_judge_rate
from model.judges.words import normalize
from tasks.common import paths, runtime

# These options make each of whisper's ways the same greedy decoding as ours.
GREEDY = {"language": "en", "without_timestamps": True, "suppress_blank": False, "length_penalty": 1.0}
NO_SECOND_TRY = {
    "temperature": 0.0,
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
}


def main(utterances: int = 128, batch_size: int = 64, rounds: int = 7) -> None:
    """Measure ``rounds`` rounds, each of all four ways on the same utterances."""
    params, device = runtime.start()
    greedy = {**GREEDY, "fp16": device.type == "cuda"}  # as ours
    model = asr.load_recognizer(params.models.recognizer, device)
    module = sys.modules["whisper.transcribe"]  # the package's attribute of that name is the function in it
    module.N_SAMPLES = asr.context_samples(model)  # type: ignore[attr-defined]
    module.N_FRAMES = module.N_SAMPLES // HOP_LENGTH  # type: ignore[attr-defined]
    cuts = list(CutSet.from_file(paths.cuts("test")))
    chosen = [cuts[i] for i in np.random.default_rng(params.seed).permutation(len(cuts))[:utterances]]
    waves = [w for c in chosen for w in at_judge_rate([c.load_audio()[0]], c.sampling_rate)]
    seconds = sum(map(len, waves)) / SAMPLE_RATE

    def ours() -> list[str]:
        return asr.transcribe(model, waves, batch_size)

    def transcribe() -> list[str]:
        return [whisper.transcribe(model, w, **greedy, **NO_SECOND_TRY)["text"] for w in waves]

    def transcribe_ended() -> list[str]:
        window = asr.context_samples(model)
        ended = (np.pad(w, (0, max(0, window - len(w)))) for w in waves)
        return [whisper.transcribe(model, w, **greedy, **NO_SECOND_TRY)["text"] for w in ended]

    def decode() -> list[str]:
        options = whisper.DecodingOptions(**greedy)
        mels = (asr.log_mel(torch.from_numpy(w), model).to(model.device) for w in waves)
        return [whisper.decode(model, mel, options).text for mel in mels]

    ways = {
        "speechalign": ours,
        "whisper.transcribe, file by file": transcribe,
        "whisper.transcribe, ended with silence": transcribe_ended,
        "whisper.decode, file by file": decode,
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, list[str]] = {}
    for round_ in range(-1, rounds):  # once before the clock counts
        for name, way in ways.items():
            started = time.perf_counter()
            texts[name] = [normalize(t) for t in way()]
            if round_ >= 0:
                speeds[name].append(seconds / (time.perf_counter() - started))
    print(
        f"{len(waves)} utterances, {seconds:.0f} s of audio, {torch.get_num_threads()} threads, batches of {batch_size}"
    )
    for name, values in speeds.items():
        print(f"{name}: {np.median(values):.0f} s of audio per second")
    for name in list(ways)[1:]:
        same = np.mean([a == b for a, b in zip(texts["speechalign"], texts[name], strict=True)])
        print(f"{ratio_line(f'speechalign / {name}', speeds['speechalign'], speeds[name])}, same texts {same:.1%}")


if __name__ == "__main__":
    typer.run(main)
