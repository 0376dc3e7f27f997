"""Make speech for training the embedded checkpoints: ``python -m bootstrap.data``.

Writes ``bootstrap/work/data/{train,dev,test,unseen}.npz``, each with ``audio`` (int16, all utterances end to end),
``lengths`` (samples per utterance), ``texts`` and ``voices``. Texts of dev, test and unseen never occur in train.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model import espeak
from model.audio import resample
from tasks.common import digits, yaml12

OUT = Path("bootstrap/work/data")


def utterances(
    voices: list[str], per_voice: int, split: str, params: dict, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, str, str]]:
    """Yield ``per_voice`` synthesized utterances of each voice as (int16 samples, text, voice)."""
    for voice in voices:
        for text in digits.draw_texts(per_voice, split, params["min_words"], params["max_words"], rng):
            rate, pitch = (int(rng.integers(lo, hi, endpoint=True)) for lo, hi in (params["rate"], params["pitch"]))
            wave = espeak.synthesize(text, voice, rate, pitch)
            wave = resample(wave, from_rate=espeak.SAMPLE_RATE, to_rate=params["sample_rate"])
            yield (wave.clip(-1, 1) * 32767).astype(np.int16), text, voice


def main() -> None:
    params = yaml12.loads(Path("bootstrap/params.yaml").read_text())["data"]
    rng = np.random.default_rng(params["seed"])
    OUT.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test", "unseen"):
        voices = params["unseen_voices"] if split == "unseen" else params["train_voices"]
        text_split = "test" if split == "unseen" else split
        rows = list(utterances(voices, params["utterances_per_voice"][text_split], text_split, params, rng))
        audio, texts, names = zip(*rows, strict=True)
        np.savez(
            OUT / f"{split}.npz",
            audio=np.concatenate(audio),
            lengths=np.array([len(a) for a in audio]),
            texts=np.array(texts),
            voices=np.array(names),
        )
        print(f"{split}: {len(rows)} utterances, {sum(map(len, audio)) / params['sample_rate'] / 60:.1f} min")


if __name__ == "__main__":
    main()
