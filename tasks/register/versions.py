"""Versions of the registered model: what identifies one, logging it, finding it again."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.codecs.facts import codec_facts
from model.codecs.plugins import requirement
from model.drawing import Decoding
from tasks.common import digests, paths, schemas
from tasks.common.decoding import decoding_of
from tasks.common.files import read_json, read_table
from tasks.common.judges import held_out_names, recognizer_name
from tasks.common.params import Params
from tasks.common.scores import sets_of, table_of
from tasks.common.tracking import environment_tags
from tasks.common.tracking.client import failures
from tasks.register import policy_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

DIGEST = "policy_digest"  # the tag by which a policy is found among the versions
HELD_OUT = "held_out_judges"
DEV = "dev"  # the artifact that holds the judged dev utterances
# Where and how a version runs, not what it is. MLflow lets a loader override only what was logged.
RUNTIME = {"device": "auto", "batch_size": 64}
PACKAGES = ("torch", "torchaudio", "encodec", "transformers", "safetensors", "numpy", "pandas", "soundfile", "soxr")


@dataclass(frozen=True)
class Candidate:
    """One iteration's policy with its evaluation."""

    iteration: str
    digest: str
    parts: dict[str, str]  # DVC's digests of AR, NAR and codec
    decoding: dict[str, float]  # its best one, chosen on dev
    rows: list[dict[str, Any]]  # of dev


def candidate_of(iteration: str, params: Params) -> Candidate:
    """Read one iteration's policy, its decoding and its evaluation on dev.

    Raises:
        DataError: the policy or its evaluation is missing.
    """
    best = read_json(paths.metrics(iteration), dict)["decoding"]["best"]
    # What decoding leaves at its default is not named, so that a version keeps its identity when settings are added.
    other = {name: value for name, value in asdict(decoding_of(params)).items() if value != getattr(Decoding(), name)}
    decoding = {**other, **best, "max_frames_per_character": params.decoding.max_frames_per_character}
    parts = {"ar_md5": digests.md5(paths.ar(iteration)), "nar_md5": digests.md5(paths.NAR), "codec_md5": codec(params)}
    # The same weights decoded another way give other speech, so decoding is a part of what is registered.
    identity = {**parts, "model_config": model_config(params, decoding)}
    digest = hashlib.md5(json.dumps(identity, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
    return Candidate(iteration, digest, parts, decoding, read_table(paths.dev(iteration), schemas.UTTERANCES))


def codec(params: Params) -> str:
    """DVC's digest of the codec's folder, or the name of a published codec."""
    folder = Path(params.models.codec)
    return digests.md5(folder) if folder.is_dir() else params.models.codec


def model_config(params: Params, decoding: dict[str, float]) -> dict[str, Any]:
    """Settings that the registered model needs in addition to its weights; it is served at its best ``decoding``."""
    return {
        "decoding": decoding,
        "prompt_frames": params.prompt_frames,
        "voice": params.policy.voice,
        "spelling": params.spelling.chosen(),
        # A codec of this project's own is an artifact; a published one is fetched by its name.
        **({} if Path(params.models.codec).is_dir() else {"codec": params.models.codec}),
    }


def logged_config(params: Params, decoding: dict[str, float]) -> dict[str, Any]:
    """Return a version's settings as MLflow keeps them.

    MLflow also logs them as parameters of the run, which writes None otherwise than the run's own, so None is left out.
    """
    settings = {**RUNTIME, **model_config(params, decoding)}
    return {name: value for name, value in settings.items() if value is not None}


def all_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Every version, oldest first; none if the model is not registered yet."""
    with failures():
        found = list(client.search_model_versions(f"name = '{name}'", max_results=10_000))
    return sorted(found, key=lambda version: int(version.version))


def registered(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The registered model with its aliases, or None."""
    with failures():
        return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def log_version(client: MlflowClient, name: str, candidate: Candidate, run_id: str, params: Params) -> ModelVersion:
    """Log the policy as a pyfunc under its iteration's run and register it with its tags."""
    import mlflow

    artifacts = {policy_model.AR: str(paths.ar(candidate.iteration)), policy_model.NAR: str(paths.NAR)}
    artifacts[DEV] = str(paths.dev(candidate.iteration))
    if Path(params.models.codec).is_dir():
        artifacts[policy_model.CODEC] = params.models.codec
    source = Path(policy_model.__file__)
    with failures(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # long notes on type hints, which the signature makes needless
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name="policy",
                python_model=str(source),
                artifacts=artifacts,
                code_paths=[str(source.parents[2] / "model")],
                model_config=logged_config(params, candidate.decoding),
                signature=signature(candidate.decoding),
                input_example=input_example(params.policy.voice),
                pip_requirements=requirements(params),
            )
        if registered(client, name) is None:
            client.create_registered_model(name, description="Text and a voice prompt in, speech out (SpeechAlign)")
        return client.create_model_version(
            name, info.model_uri, run_id, tags=version_tags(candidate, params), model_id=info.model_id
        )


def version_tags(candidate: Candidate, params: Params) -> dict[str, str]:
    """Origin, decoding, and the scores on test at this decoding, by set: ``long/wer``."""
    metrics = read_json(paths.metrics(candidate.iteration), dict)
    measured = {
        f"{which}/{name}": f"{score['value']:.6g}"
        for which in sets_of(metrics)
        for name, score in table_of(metrics, set=which)["all"].items()
    }
    commit = environment_tags().get("mlflow.source.git.commit")
    return {
        "iteration": candidate.iteration,
        DIGEST: candidate.digest,
        **candidate.parts,
        **{name: f"{value:g}" for name, value in candidate.decoding.items()},
        "dev_md5": digests.md5(paths.dev(candidate.iteration)),
        "judge": recognizer_name(params.models.recognizer),
        HELD_OUT: held_out_names(params),
        **measured,
        **({"git_commit": commit} if commit else {}),
    }


def signature(decoding: dict[str, float]) -> Any:
    """Inputs, outputs and parameters of the model, with their types."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "text"),
        ColSpec(DataType.binary, "prompt_audio", required=False),
        ColSpec(DataType.string, "prompt_text", required=False),
        ColSpec(DataType.string, "speaker", required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(Array(DataType.float), "samples"),
        ColSpec(DataType.long, "sample_rate"),
        ColSpec(DataType.boolean, "finished"),
        ColSpec(DataType.binary, "audio"),
    ]
    parameters = [
        ParamSpec("seed", DataType.long, 0),
        ParamSpec("temperature", DataType.double, decoding["temperature"]),
        ParamSpec("top_k", DataType.long, decoding["top_k"]),
        ParamSpec("top_p", DataType.double, decoding["top_p"]),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(parameters))


def input_example(voice: str) -> Any:
    """Return the first text that the ceiling kept, with a voice as ``policy.voice`` says; None where it kept none.

    MLflow tries a version on it, so it has everything that a layout may need of a voice.
    """
    import pandas as pd

    folder = paths.CEILING / "audio"
    kept = read_json(folder / "index.json", list) if (folder / "index.json").is_file() else []
    if not kept:
        return None
    example = {"text": kept[0]["text"]}
    if voice == "speaker":
        example["speaker"] = kept[0]["speaker"]
    if voice == "audio":
        example["prompt_audio"] = (folder / f"{kept[0]['id']}.prompt.flac").read_bytes()
        example["prompt_text"] = kept[0].get("prompt_text")  # not in what an earlier release kept
    return pd.DataFrame({name: [value] for name, value in example.items() if value is not None})


def requirements(params: Params) -> list[str]:
    """Return what a version needs installed, the package of another project's codec too."""
    of_codec = requirement(codec_facts(params.models.codec).kind)
    return [f"{package}=={_release(package)}" for package in ("mlflow", *PACKAGES)] + ([of_codec] if of_codec else [])


def _release(package: str) -> str:
    return metadata.version(package).split("+")[0]  # "2.11.0+cpu" names a build that an index may not have
