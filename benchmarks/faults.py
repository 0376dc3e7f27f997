"""Systems with known faults, made from recordings, and what the gate says about each: ``python -m benchmarks.faults``.

The system before is the recordings themselves. Each other system has one fault; of the last two the recordings with the
fault are the system before, so the right verdict is "better".
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import parselmouth
import soundfile
import typer
from parselmouth.praat import call

from tasks.common.systems import load, read_system
from tasks.common.text_lists import Text, read_texts

Wave = np.ndarray


def dropped(wave: Wave, rate: int) -> Wave:
    """Leave out the third quarter, and with it words."""
    n = len(wave)
    return np.concatenate([wave[: n // 2], wave[3 * n // 4 :]])


def repeated(wave: Wave, rate: int) -> Wave:
    """Say the middle third twice."""
    n = len(wave)
    return np.concatenate([wave[: 2 * n // 3], wave[n // 3 :]])


def flattened(wave: Wave, rate: int) -> Wave:
    """Halve the movement of the pitch around its median."""
    sound = parselmouth.Sound(wave.astype(np.float64), rate)
    manipulation = call(sound, "To Manipulation", 0.01, 60, 500)
    tier = call(manipulation, "Extract pitch tier")
    median = call(sound.to_pitch(0.01, 60, 500), "Get quantile", 0, 0, 0.5, "Hertz")
    if np.isfinite(median):
        call(tier, "Formula", f"{median} * (self / {median}) ^ 0.5")
        call([tier, manipulation], "Replace pitch tier")
    return _samples(call(manipulation, "Get resynthesis (overlap-add)"))


def slow(wave: Wave, rate: int) -> Wave:
    """Speak at half the speed."""
    return _samples(call(parselmouth.Sound(wave.astype(np.float64), rate), "Lengthen (overlap-add)", 60, 500, 2.0))


def another_voice(wave: Wave, rate: int) -> Wave:
    """Move formants and pitch, as another speaker has them."""
    sound = parselmouth.Sound(wave.astype(np.float64), rate)
    median = call(sound.to_pitch(0.01, 75, 500), "Get quantile", 0, 0, 0.5, "Hertz")
    wanted, formants = (220.0, 1.2) if not np.isfinite(median) or median < 160 else (110.0, 0.83)
    return _samples(call(sound, "Change gender", 75, 500, formants, wanted, 1.0, 1.0))


def clipped(wave: Wave, rate: int) -> Wave:
    """Amplify until a fifth of the samples is at full scale."""
    return np.clip(wave / max(1e-6, float(np.quantile(np.abs(wave), 0.8))), -1, 1)


def noisy(wave: Wave, rate: int) -> Wave:
    """Add white noise, 10 dB below the speech."""
    noise = np.random.default_rng(len(wave)).standard_normal(len(wave)) * np.sqrt((wave**2).mean()) * 10**-0.5
    return np.clip(wave + noise, -0.98, 0.98)


def silent(wave: Wave, rate: int) -> Wave:
    """Silence of the same length."""
    return np.zeros_like(wave)


def _samples(sound: parselmouth.Sound) -> Wave:
    return np.clip(sound.values[0], -0.98, 0.98)


FAULTS: dict[str, Callable[[Wave, int], Wave]] = {
    "words dropped": dropped,
    "words repeated": repeated,
    "pitch flattened": flattened,
    "half speed": slow,
    "another voice": another_voice,
    "clipped": clipped,
    "noise": noisy,
    "silence": silent,
}


def make(folder: Path, recordings: Mapping[str, list[Path]], fault: Callable[[Wave, int], Wave] | None) -> Path:
    """Write a system: every recording with the fault, as 16-bit FLAC; None copies them unchanged."""
    folder.mkdir(parents=True)
    for name, [path] in recordings.items():
        sound = load(path, 1000)
        wave = sound.samples if fault is None else fault(sound.samples, sound.rate)
        soundfile.write(folder / f"{name}.flac", wave, sound.rate)
    return folder


def lacking(folder: Path, source: Path, every: int) -> Path:
    """Write a system that lacks every n-th recording of another."""
    folder.mkdir(parents=True)
    for i, path in enumerate(sorted(source.iterdir())):
        if i % every:
            shutil.copy(path, folder)
    return folder


def chosen(corpus: Path, each: int = 0) -> tuple[dict[str, Text], dict[str, list[Path]]]:
    """Return texts and recordings of a corpus in LibriSpeech's layout; ``each`` speaker's shortest, 0: all."""
    texts = read_texts(str(corpus)).texts
    if each:
        short = sorted(texts.values(), key=lambda text: len(text.text))
        of_speaker = {text.speaker: [t for t in short if t.speaker == text.speaker][:each] for text in short}
        texts = {text.id: text for own in of_speaker.values() for text in own}
    return texts, read_system(str(corpus), texts).recordings


def write_texts(path: Path, texts: Mapping[str, Text], recordings: Mapping[str, list[Path]]) -> None:
    """Write a list of texts, each prompted by another utterance of its speaker."""
    table = ["id\ttext\tspeaker\tprompt"]
    for name, text in texts.items():
        other = next(t for t in reversed(texts) if texts[t].speaker == text.speaker and t != name)
        table.append(f"{name}\t{text.text}\t{text.speaker}\t{recordings[other][0].resolve()}")
    path.write_text("\n".join(table) + "\n", encoding="utf-8")


def main(
    corpus: Annotated[Path, typer.Argument(help="LibriSpeech's layout, with transcripts")],
    recognizer: Annotated[str, typer.Option(help="Whisper, by name or folder")] = "tiny.en",
    second: Annotated[str, typer.Option(help="second recognizer")] = "pocketsphinx",
    each: Annotated[int, typer.Option(help="texts per speaker, the shortest; 0: all", min=0)] = 0,
) -> None:
    """Print the verdict on each system; each text is prompted by another utterance of its speaker."""
    from tasks.gate import margins, run, verdict
    from tasks.gate.judges import Named

    texts, recordings = chosen(corpus, each)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_texts(root / "texts.tsv", texts, recordings)
        made = {"the same": make(root / "the same", recordings, None)}
        made |= {name: make(root / name, recordings, fault) for name, fault in FAULTS.items()}
        made["every tenth missing"] = lacking(root / "every tenth missing", made["the same"], 10)
        material = run.read(str(root / "texts.tsv"), [str(folder) for folder in made.values()], None)
        judged = run.judge(material, Named(recognizer, second, "none", True, "cpu"))
    rows = dict(zip(made, judged.rows, strict=True))
    print(f"{len(texts)} texts, {len({text.speaker for text in texts.values()})} speakers; {judged.seconds:.0f} s")
    pairs = [("the same", name) for name in made] + [(name, "the same") for name in ("words dropped", "noise")]
    for before, after in pairs:
        found = verdict.judge(rows[before], rows[after], margins.Margins(), (f'"{before}"', f'"{after}"'))
        print(f"* {found.headline}.")
        for reason in found.reasons:
            print(f"  {reason}")


if __name__ == "__main__":
    typer.run(main)
