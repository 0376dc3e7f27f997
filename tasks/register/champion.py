"""The judged dev utterances of registered versions: of this loop, of the registry, or of the champion sampled now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import SpeechAlignError
from tasks.common import schemas
from tasks.common.changes import comparable
from tasks.common.files import DataError, read_table
from tasks.common.judges import held_out_names, load_held_out, recognizer_name
from tasks.common.params import Params
from tasks.common.tracking.client import TrackingError, failures, patiently
from tasks.register.versions import DEV, DIGEST, HELD_OUT, Candidate, codec

if TYPE_CHECKING:
    import torch
    from mlflow.entities.model_registry import ModelVersion

Rows = list[dict[str, Any]]


def rows_of(
    champion: ModelVersion, candidate: Candidate, loop: list[Candidate], params: Params, device: torch.device
) -> Rows:
    """The champion's table on the candidate's dev texts, prompts and seeds, by the same judges.

    Raises:
        DataError: the champion has no such table and cannot be evaluated now; the message says why.
    """
    found = known_rows(champion, candidate, loop, params)
    return evaluate_again(champion, params, device) if found is None else found


def known_rows(version: ModelVersion, candidate: Candidate, loop: list[Candidate], params: Params) -> Rows | None:
    """A version's table of this loop, or the one that was registered with it if the same judges made it.

    None where there is none on the candidate's texts.
    """
    for other in loop:
        if other.digest == version.tags.get(DIGEST) and comparable(candidate.rows, other.rows):
            return other.rows
    judges = {"judge": recognizer_name(params.models.recognizer), HELD_OUT: held_out_names(params)}
    if all(version.tags.get(tag) == name for tag, name in judges.items()):
        stored = stored_rows(version)
        if stored and comparable(candidate.rows, stored):
            return stored
    return None


def stored_rows(version: ModelVersion) -> Rows | None:
    """The table that was registered with a version; None where it cannot be read any more."""
    import mlflow

    uri = f"models:/{version.name}/{version.version}/artifacts/{DEV}.parquet"
    try:
        with failures():
            return read_table(Path(mlflow.artifacts.download_artifacts(artifact_uri=uri)), schemas.UTTERANCES)
    except (TrackingError, DataError):
        return None


def evaluate_again(version: ModelVersion, params: Params, device: torch.device) -> Rows:
    """Load a registered version and judge it on the present dev texts, as ``evaluate`` does.

    Its own decoding and length of prompt are used: they are a part of the version, and it is served with them.

    Raises:
        DataError: its artifacts cannot be read, or it was sampled in a way that this code does not know.
    """
    import mlflow

    from model.codecs.facts import codec_facts
    from model.judges.panel import Panel  # before the version is loaded: this loop's model/ judges, not its copy
    from model.sampling import Decoding
    from tasks.common.engine import Workers
    from tasks.common.evaluation import EvaluationSet, Judges
    from tasks.common.policy_evaluation import Studio, evaluate_policy, per_thread

    title = f"champion v{version.version}"
    print(f"register: {title} was judged on other data or by another judge; evaluating it again", flush=True)
    try:
        uri = f"models:/{version.name}/{version.version}"
        # Minutes of judging another version may be behind it.
        loaded = patiently(lambda: mlflow.pyfunc.load_model(uri, model_config={"device": str(device)}))
        model = loaded.unwrap_python_model()
        voice, decoding = model.voice, Decoding(**model.config["decoding"])
        params = params.model_copy(update={"prompt_frames": model.config.get("prompt_frames")})
    except (SpeechAlignError, TypeError, ValueError) as error:
        raise DataError(
            f"{title} of {version.name} has no evaluation on the present dev texts, and could not be evaluated: "
            f"{error}. Restore its artifacts, or move the alias `champion` by hand"
        ) from error
    dev = EvaluationSet.read("dev", params)
    judges = Judges(Panel(params.models.recognizer, device), load_held_out(params, device, dev.texts))
    if version.tags.get("codec_md5") != codec(params):
        # Its tokens come from another codec: encode the same voice prompts with its own.
        rate = codec_facts(params.models.codec).sample_rate
        dev.prompts = [
            voice.encode_prompt(dev.golden[row["prompt_id"]], rate, prompt.text, prompt.speaker)
            if prompt.has_codes
            else prompt
            for row, prompt in zip(dev.rows, dev.prompts, strict=True)
        ]
    draws = params.evaluate.dev_draws
    workers = Workers.here(params, Studio(voice, per_thread(judges)), device)
    return evaluate_policy(workers, dev, decoding, draws, params, title).rows
