"""Speech from a registered policy: ``speechalign say "seven two nine" --prompt voice.flac --out hello.wav``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tasks.common.files import DataError
from tasks.common.stage import stage

DEFAULT_MODEL = "models:/speechalign-policy@champion"
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's codes: no such model, no such alias


@stage
def main(
    text: Annotated[str, typer.Argument(help="what to say: words of a-z and apostrophes")],
    prompt: Annotated[Path, typer.Option(help="audio file with a second or more of the voice to say it in")],
    out: Annotated[Path, typer.Option(help="WAV or FLAC file to write")] = Path("out.wav"),
    model: Annotated[str, typer.Option(help="a registered version or alias")] = DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(help="another seed gives another sample")] = 0,
    temperature: Annotated[float | None, typer.Option(help="below 1: less varied (default: the policy's best)")] = None,
) -> None:
    """Say a text in the voice of a recording, with a policy of the registry."""
    if not prompt.is_file():
        raise DataError(f"there is no voice prompt {prompt}; give the path of an audio file")
    if not out.absolute().parent.is_dir() or out.suffix.lower() not in (".wav", ".flac"):
        raise DataError(f"{out} cannot be written; name a .wav or .flac file in a folder that exists")
    import soundfile

    from tasks.common.tracking.client import TrackingError, connect, failures, without_database

    name = "no champion is" if model == DEFAULT_MODEL else f"{model} is not"
    missing = f"{name} registered here yet; run `make demo` first (or name another model with --model)"
    if without_database():
        raise DataError(missing)
    connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    with _code_of_the_version():
        try:
            with failures():
                policy = mlflow.pyfunc.load_model(model)
        except TrackingError as error:
            if isinstance(error.__cause__, MlflowException) and error.__cause__.error_code in UNKNOWN:
                raise DataError(missing) from error
            raise
        chosen = {"seed": seed} | ({} if temperature is None else {"temperature": temperature})
        try:
            with failures():
                spoken = policy.predict({"text": [text], "prompt": [str(prompt)]}, params=chosen).iloc[0]
        except ValueError as error:  # how the version refuses a text or a prompt; its error classes are its own
            raise DataError(str(error)) from error
    if not len(spoken["samples"]):
        raise DataError("the policy sampled no audio; try another --seed")
    soundfile.write(out, spoken["samples"], int(spoken["sample_rate"]))
    seconds = len(spoken["samples"]) / spoken["sample_rate"]
    print(f"{out}: {seconds:.2f} s" + ("" if spoken["finished"] else ", cut off at the length limit"))


@contextlib.contextmanager
def _code_of_the_version() -> Iterator[None]:
    """Let ``import model`` find the copy of ``model/`` that was registered with the version, not this checkout's."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "model"}
    for name in ours:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "model"]:
            del sys.modules[name]
        sys.modules.update(ours)


if __name__ == "__main__":
    typer.run(main)
