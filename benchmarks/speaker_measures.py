"""Compare how well the two measures of voice separate speakers: the reward's own (Resemblyzer) and the held-out one.

python -m benchmarks.speaker_measures                             # the loop's test split
python -m benchmarks.speaker_measures --librispeech FOLDER --fsdd FOLDER   # real speech as well

Each pair of utterances has one speaker or two. At the equal error rate, the share of same-speaker pairs rejected equals
the share of other pairs accepted. The held-out measure is fitted to train, as ``evaluate`` does; on real speech it is
fitted to the speakers that are not compared, two at a time.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer

from model.codecs.facts import codec_facts
from model.judges import speaker, timbre
from model.judges.waves import at_judge_rate
from tasks.common import judges, params
from tasks.common.utterances import Utterances, load_waves

Waves = list[np.ndarray]


def equal_error_rate(vectors: np.ndarray, names: list[str]) -> float:
    """Return the equal error rate over all pairs of unit vectors ``(n, d)`` whose speakers are ``names``."""
    upper = np.triu_indices(len(names), 1)
    same = (np.array(names)[:, None] == np.array(names))[upper]
    order = np.argsort(-(vectors @ vectors.T)[upper], kind="stable")
    accepted = np.cumsum(~same[order]) / (~same).sum()
    rejected = 1 - np.cumsum(same[order]) / same.sum()
    at = np.argmin(np.abs(accepted - rejected))
    return float(accepted[at] + rejected[at]) / 2


def report(name: str, waves: Waves, names: list[str], measure: timbre.Timbre, encoder: speaker.VoiceEncoder) -> None:
    own, other = speaker.embed(encoder, waves), measure.embed(waves)
    rates = f"Resemblyzer {equal_error_rate(own, names):.1%}, timbre {equal_error_rate(other, names):.1%}"
    print(f"{name}: {len(names)} utterances of {len(set(names))} speakers, equal error rate: {rates}", flush=True)


def leaving_out(name: str, waves: Waves, names: list[str], encoder: speaker.VoiceEncoder) -> None:
    """Print the mean equal error rate of every two speakers, by a measure fitted to the others."""
    own, rates = speaker.embed(encoder, waves), []
    for two in itertools.combinations(sorted(set(names)), 2):
        tested = [i for i, other in enumerate(names) if other in two]
        fitted = [i for i, other in enumerate(names) if other not in two]
        measure = timbre.fit([waves[i] for i in fitted], [names[i] for i in fitted])
        shown = [names[i] for i in tested]
        other = measure.embed([waves[i] for i in tested])
        rates.append((equal_error_rate(own[tested], shown), equal_error_rate(other, shown)))
    means = np.mean(rates, axis=0)
    print(
        f"{name}: {len(names)} utterances of {len(set(names))} speakers, two at a time, mean equal error rate: "
        f"Resemblyzer {means[0]:.1%}, timbre {means[1]:.1%}",
        flush=True,
    )


def main(
    librispeech: Annotated[Path | None, typer.Option(help="a folder with LibriSpeech/test-other")] = None,
    fsdd: Annotated[Path | None, typer.Option(help="the folder of FSDD's recordings")] = None,
) -> None:
    """Print the equal error rates."""
    settings, encoder = params.load(), speaker.load_speaker_encoder()
    rate = codec_facts(settings.models.codec).sample_rate

    def golden(split: str, utterances: Utterances, chosen: list[int]) -> tuple[Waves, list[str]]:
        found = load_waves(split, [utterances.ids[i] for i in chosen])
        waves = at_judge_rate([found[utterances.ids[i]] for i in chosen], rate)
        return waves, [utterances.speakers[i] for i in chosen]

    train, test = Utterances.read("train", levels=0), Utterances.read("test", levels=0)
    measure = timbre.fit(*golden("train", train, judges.fitting_sample(train, settings.seed)))
    for kind in ("seen", "unseen"):
        if chosen := np.flatnonzero(test.seen == (kind == "seen")).tolist():
            report(f"test, {kind} speakers", *golden("test", test, chosen), measure, encoder)
    if librispeech:
        files = sorted((librispeech / "LibriSpeech/test-other").rglob("*.flac"))
        waves = [soundfile.read(file, dtype="float32")[0] for file in files]
        leaving_out("LibriSpeech test-other", waves, [file.name.split("-")[0] for file in files], encoder)
    if fsdd:
        files = [file for file in sorted(fsdd.rglob("*.wav")) if file.stem.endswith(("_0", "_1", "_2", "_3", "_4"))]
        waves = [soundfile.read(file, dtype="float32")[0] for file in files]
        waves = at_judge_rate(waves, 8000)
        # One digit is too short to identify a voice: join five of the same speaker.
        names = [file.stem.split("_")[1] for file in files]
        joined, owners = [], []
        for name in sorted(set(names)):
            own = [wave for wave, other in zip(waves, names, strict=True) if other == name]
            for first in range(0, len(own), 5):
                joined.append(np.concatenate(own[first : first + 5]))
                owners.append(name)
        leaving_out("FSDD, five digits each", joined, owners, encoder)


if __name__ == "__main__":
    typer.run(main)
