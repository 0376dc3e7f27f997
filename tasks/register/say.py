"""Speech from a registered policy: ``speechalign say "seven two nine" --prompt voice.flac --out hello.wav``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from tasks.common.files import DataError
from tasks.common.stage import stage
from tasks.register import speech

UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's codes: no such model, no such alias


@stage
def main(
    text: Annotated[str, typer.Argument(help="what to say, in one or more sentences")],
    prompt: Annotated[
        Path | None, typer.Option(help="audio file with a second or more of the voice to say it in")
    ] = None,
    prompt_text: Annotated[str, typer.Option(help="what is said in it, where the policy needs that")] = "",
    speaker: Annotated[str, typer.Option(help="the voice by name, where the policy knows names")] = "",
    out: Annotated[Path, typer.Option(help="WAV or FLAC file to write")] = Path("out.wav"),
    model: Annotated[str, typer.Option(help="a registered version or alias")] = speech.DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(help="another seed gives another sample")] = 0,
    temperature: Annotated[float | None, typer.Option(help="below 1: less varied (default: the policy's best)")] = None,
) -> None:
    """Say a text in the voice of a recording, with a policy of the registry."""
    if prompt is not None and not prompt.is_file():
        raise DataError(f"there is no voice prompt {prompt}; give the path of an audio file")
    if not out.absolute().parent.is_dir() or out.suffix.lower() not in (".wav", ".flac"):
        raise DataError(f"{out} cannot be written; name a .wav or .flac file in a folder that exists")
    if prompt is not None:
        check_prompt(prompt)
    warnings.filterwarnings("ignore", "the voice prompt (is|has)")  # the model's own warnings of the same
    import numpy as np
    import soundfile

    from tasks.common.tracking.client import TrackingError, connect, without_database

    name = "no champion is" if model == speech.DEFAULT_MODEL else f"{model} is not"
    missing = f"{name} registered here yet; run `make demo` first (or name another model with --model)"
    if without_database():
        raise DataError(missing)
    connect()
    from mlflow.exceptions import MlflowException

    with speech.code_of_the_version():
        try:
            policy = speech.load(model)
        except TrackingError as error:
            if isinstance(error.__cause__, MlflowException) and error.__cause__.error_code in UNKNOWN:
                raise DataError(missing) from error
            raise
        parts = speech.sentences(text)
        voice = speech.VoiceOf(prompt.read_bytes() if prompt else None, prompt_text, speaker)
        try:
            spoken = [speech.synthesize(policy, part, voice, seed + n, temperature) for n, part in enumerate(parts)]
        except ValueError as error:  # how the version refuses a text or a prompt; its error classes are its own
            raise DataError(str(error)) from error
    samples = np.concatenate([speech.joined(one, n, len(spoken)) for n, one in enumerate(spoken)])
    if not any(len(one.samples) for one in spoken):
        raise DataError("the policy sampled no audio; try another --seed")
    rate = spoken[0].sample_rate
    soundfile.write(out, samples, rate)
    cut_off = not all(one.finished for one in spoken)
    print(f"{out}: {len(samples) / rate:.2f} s" + (", cut off at the length limit" if cut_off else ""))


def check_prompt(prompt: Path) -> None:
    """Warn of a voice prompt at full scale, or with little sound: the voice that is synthesized is less like it."""
    import soundfile

    from model.audio import SHORT_PROMPT, Stream, clipping, sounding_seconds

    try:
        with Stream(str(prompt)) as file:
            samples, rate = file.read(1 << 20, always_2d=True), file.samplerate
    except (soundfile.LibsndfileError, TypeError):
        return  # the model says what is wrong with it
    if said := clipping(samples):
        print(f"warning: {prompt} {said}", file=sys.stderr)
    if samples.size and (sound := sounding_seconds(samples.mean(axis=1), rate)) < SHORT_PROMPT:
        print(f"warning: {prompt} has only {sound:.1f} s of sound; take a second or more", file=sys.stderr)


if __name__ == "__main__":
    typer.run(main)
