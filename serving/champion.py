"""Which version to serve: the one that an alias names, followed when it moves."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass

from serving.metrics import Metrics
from serving.pool import Pool
from serving.process import WorkerError
from tasks.common.files import DataError
from tasks.common.tracking.client import TrackingError, connect, failures, without_database

ADDRESS = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))")
AGAIN_SECONDS = 60.0  # before a version that did not load is tried again


@dataclass(frozen=True)
class Source:
    """``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""

    name: str
    alias: str | None
    fixed: str | None

    @classmethod
    def parse(cls, model: str) -> Source:
        """Read an address.

        Raises:
            DataError: another form.
        """
        match = ADDRESS.fullmatch(model)
        if match is None:
            raise DataError(f"--model is {model}; expected models:/NAME@ALIAS or models:/NAME/VERSION")
        return cls(*match.groups())

    def version(self) -> str:
        """Return the version that the registry names now.

        Raises:
            TrackingError: the registry does not answer.
            DataError: it knows no such model or alias.
        """
        missing = f"{self.name} has no {self.alias or self.fixed} in the registry; run `speechalign run` first"
        if without_database():
            raise DataError(missing)
        from mlflow.exceptions import MlflowException

        client = connect(patient=False)  # whoever watches should know at once, and a stop should not wait
        try:
            with failures():
                if self.alias is None:
                    return str(client.get_model_version(self.name, str(self.fixed)).version)
                return str(client.get_model_version_by_alias(self.name, self.alias).version)
        except TrackingError as error:
            cause = error.__cause__
            if isinstance(cause, MlflowException) and cause.error_code in (
                "RESOURCE_DOES_NOT_EXIST",
                "INVALID_PARAMETER_VALUE",
            ):
                raise DataError(missing) from error
            raise


async def follow(source: Source, pool: Pool, metrics: Metrics, seconds: float) -> None:
    """Look at the registry every few seconds, and move the pool to the version that it names.

    A registry that is away, or a version that does not load, changes nothing for those who ask for speech.
    """
    said, failed, again = "", "", 0.0
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(seconds)
        try:
            version = await asyncio.to_thread(source.version)
            metrics.registry_up.set(1)
            if said and version == pool.version:
                print(f"serve: the registry answers again, and names version {version}, which is served", flush=True)
                said = ""
            if version == pool.version or (version == failed and loop.time() < again):
                continue
            failed, again = version, loop.time() + AGAIN_SECONDS
            await pool.move_to(version)
            said = ""
            metrics.moves.inc()
            metrics.version.set(int(version))
            print(f"serve: {source.name} version {version} from now on", flush=True)
        except (TrackingError, DataError, WorkerError, OSError) as error:
            if isinstance(error, TrackingError):
                metrics.registry_up.set(0)
            if str(error) != said:
                said = str(error)
                print(f"serve: {said}. Version {pool.version} is still served", file=sys.stderr, flush=True)
