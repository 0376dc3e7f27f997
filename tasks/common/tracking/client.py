"""Connecting to MLflow: the local SQLite file by default, any server by ``MLFLOW_TRACKING_URI``.

MLflow is imported inside functions: the import takes seconds, and ``--help`` or a bad parameter should not wait.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from tasks.common import secrets
from tasks.common.tracking import database, patience, place
from tasks.common.tracking.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
LOCAL_URI = "sqlite:///mlflow.db"
EXPERIMENT = "speechalign"
# Otherwise MLflow's pages open on traces of a language-model application, which are empty here.
KIND = {"mlflow.experimentKind": "custom_model_development"}
SECONDS_TO_ANSWER = 5
_FOREIGN = {"mlflow", "sqlalchemy", "sqlite3", "botocore", "boto3", "requests", "urllib3"}


def tracking_uri() -> str:
    """Return the address of the store, by default the SQLite file in the project's folder."""
    return place.in_project(os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_URI)


def without_database() -> bool:
    """Whether the address names an SQLite file that does not exist, which connecting would make."""
    file = database.file_of(tracking_uri())
    return file is not None and not file.exists()


def patiently(action: Callable[[], T]) -> T:
    """Do something with MLflow, and again where its server went away meanwhile and came back: it may be done twice.

    Raises:
        TrackingError: MLflow refuses, or its server was away for too long (``tracking.patience``).
    """

    def attempt() -> T:
        with failures():
            return action()

    return patience.patiently(attempt, tracking_uri(), answers)


def connect(patient: bool = True) -> MlflowClient:
    """Return a client of the tracking server and registry, after checking that the server answers.

    Args:
        patient: wait for a server that has answered this process before.

    Raises:
        TrackingError: nothing answers, or MLflow does not know this kind of address.
    """
    return patiently(_connect) if patient else _connect()


def _connect() -> MlflowClient:
    uri = tracking_uri()
    place.absolute(uri)  # before a file is made
    answers(uri)
    # A server that has just answered fails briefly at most; MLflow's own default retries for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # They log a hundred schema steps of a new SQLite file, and a note per model.
    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc", "mlflow.tracking._model_registry.fluent"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # an environment made by uv has no pip
    with failures(), database.opened(uri):
        if file := database.file_of(uri):
            place.follow(file)
        uri, named = place.absolute(uri), os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(uri)  # log_model and load_model take it from here
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # which MLflow has set, for every folder from now on
        os.environ.update({} if named is None else {"MLFLOW_TRACKING_URI": named})
        client = mlflow.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)  # opens the database: its errors belong here
    patience.answered(tracking_uri())
    return client


def experiment_id(client: MlflowClient) -> str:
    """Return the id of the experiment (``MLFLOW_EXPERIMENT_NAME``, else "speechalign"); create it if needed."""
    from mlflow.exceptions import MlflowException

    name = experiment_name()
    with failures():
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return client.create_experiment(name, artifact_location=_artifact_location(), tags=_tags())
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)  # another process was faster
    if found is None or found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment {name!r} was deleted; restore it (`mlflow experiments restore`) "
            "or name another one in MLFLOW_EXPERIMENT_NAME"
        )
    return found.experiment_id


def experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn a failure of MLflow, its database or its artifact store into one :class:`TrackingError`."""
    try:
        yield
    except Exception as error:
        # Recognized by module name: boto3 and SQLAlchemy need not be imported for it.
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _FOREIGN:
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        file = database.file_of(tracking_uri())
        hint = f"Look at {file}" if file else "Correct MLFLOW_TRACKING_URI, or unset it to use the local mlflow.db"
        raise TrackingError(
            f"MLflow at {secrets.address(tracking_uri())} refused: {secrets.masked(reason)}. {hint} (docs/mlflow.md)"
        ) from error


def _tags() -> dict[str, str]:
    return KIND if database.file_of(tracking_uri()) is None else {**KIND, place.ROOT: str(place.project())}


def _artifact_location() -> str | None:
    if tracking_uri().startswith(("http://", "https://", "databricks")):
        return None  # the server decides
    # The same variable as `mlflow server` reads, so s3://bucket/prefix is one setting for both.
    root = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")
    return root or place.artifacts()


def answers(uri: str) -> None:
    """Ask a server whether it is there; a database is asked when it is opened.

    Raises:
        TrackingError: nothing answers within a few seconds.
    """
    if not uri.startswith(("http://", "https://")):
        return
    try:
        # /health needs no credentials, and urllib would read them as part of the host.
        urllib.request.urlopen(
            f"{secrets.address(uri).partition('?')[0].rstrip('/')}/health", timeout=SECONDS_TO_ANSWER
        ).close()
    except urllib.error.HTTPError as error:
        if error.code == 403:
            hint = "HTTP 403; the server may not know itself by this host name (`mlflow server --allowed-hosts`)"
            raise TrackingError(_unreachable(uri, hint)) from error
        if error.code >= 500:
            raise TrackingError(_unreachable(uri, f"HTTP {error.code}")) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # certificates are MLflow's own setting (MLFLOW_TRACKING_*)
            raise TrackingError(_unreachable(uri, str(reason))) from error


def _unreachable(uri: str, found: str) -> str:
    return (
        f"expected an MLflow server at MLFLOW_TRACKING_URI={secrets.address(uri)}, found: {found}. "
        "Start it (`mlflow server`), correct the address, or unset MLFLOW_TRACKING_URI to use the local mlflow.db"
    )
