"""What tests of several folders share: real speech, a small S3, a workspace to run stages in."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import yaml

if TYPE_CHECKING:
    from tests.s3 import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent


def real_speech(name: str) -> Path:
    """Folder of one real corpus (``fsdd``, ``librispeech``), or skip: it is not part of the repository."""
    root = Path(os.environ.get("SPEECHALIGN_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / name).is_dir():
        pytest.skip(f"no real speech at {root / name}; point SPEECHALIGN_TEST_DATA at a folder that holds {name}/")
    return root / name


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Put back this project's settings after each test, and refuse code that left one for later tests."""
    before = _settings()
    yield
    left = dict(_settings().items() ^ before.items())
    for name in left:
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)
    assert not left, f"left in the environment: {', '.join(sorted(left))}"


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("SPEECHALIGN_", "MLFLOW_TRACKING_"))}


@pytest.fixture(scope="session")
def _s3() -> Iterator[S3Server]:
    from tests.s3 import serve  # late, because moto is slow to import and few tests need it

    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def _mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.mlflow_server import serve

    with serve(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture
def mlflow_server(_mlflow: str) -> str:
    """Address of a real MLflow server, which other tests have used, with an empty registry."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=_mlflow, registry_uri=_mlflow)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    return _mlflow


@pytest.fixture
def s3_server(_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An empty S3 on loopback, with the ``AWS_*`` environment pointing there and nowhere else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in (_s3.environment | nowhere | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{_s3.endpoint}/moto-api/reset", method="POST")).close()
    return _s3


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict], Path]:
    """An empty folder as the current one, and a function that writes its ``params.yaml``.

    ``workspace({"prepare": {"corpus": "fsdd"}})`` changes these keys of the repository's defaults and returns the
    folder. The codec is only named there (its ``config.json``), enough for stages that do not load it.
    """
    monkeypatch.chdir(tmp_path)
    codec = tmp_path / "checkpoints" / "codec"
    codec.mkdir(parents=True)
    sizes = {"sample_rate": 16000, "n_codebooks": 4, "codebook_size": 256}
    (codec / "config.json").write_text(json.dumps({"model_type": "encodec", **sizes}))
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)

    def configure(changes: dict) -> Path:
        content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
        merge(content, changes)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return tmp_path

    return configure


def merge(base: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def tone(seconds: float = 0.6, rate: int = 16000, frequency: float = 220.0, level: float = 0.3) -> np.ndarray:
    """A sine ``(samples,)`` in float32: the least that counts as sound."""
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_tone(path: Path, seconds: float = 0.6, rate: int = 16000, frequency: float = 220.0) -> Path:
    """The same as a file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, rate, frequency), rate)
    return path
