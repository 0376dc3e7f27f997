"""Let a registered policy speak.

python -m tasks.register.say "seven two nine" --prompt voice.flac --out hello.wav
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasks.common.files import DataError
from tasks.common.stage import stage

DEFAULT_MODEL = "models:/speechalign-policy@champion"


@stage
def main(
    text: Annotated[str, typer.Argument(help="what to say")],
    prompt: Annotated[Path, typer.Option(help="a second or more of the voice to say it in (any audio file)")],
    out: Annotated[Path, typer.Option(help="WAV or FLAC file to write")] = Path("out.wav"),
    model: Annotated[str, typer.Option(help="a registered version or alias")] = DEFAULT_MODEL,
    seed: Annotated[int, typer.Option(help="another seed, another reading")] = 0,
    temperature: Annotated[float | None, typer.Option(help="below 1: less varied (default: as evaluated)")] = None,
) -> None:
    """Say a text in the voice of a recording, by a model of the registry."""
    if not prompt.is_file():
        raise DataError(f"there is no voice prompt {prompt}; give the path of an audio file")
    import soundfile

    from tasks.common.tracking.client import connect, failures

    connect()
    import mlflow

    with failures():
        policy = mlflow.pyfunc.load_model(model)
        chosen = {"seed": seed} | ({} if temperature is None else {"temperature": temperature})
        spoken = policy.predict({"text": [text], "prompt": [str(prompt)]}, params=chosen).iloc[0]
    if not len(spoken["samples"]):
        raise DataError("the policy said nothing; try another --seed")
    soundfile.write(out, spoken["samples"], int(spoken["sample_rate"]))
    seconds = len(spoken["samples"]) / spoken["sample_rate"]
    print(f"{out}: {seconds:.2f} s" + ("" if spoken["finished"] else ", cut off at the length limit"))


if __name__ == "__main__":
    typer.run(main)
