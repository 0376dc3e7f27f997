"""The servers of ``deploy/compose.yaml`` on loopback, started from packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.services import Service, free_port

LOOPBACK, SECONDS_TO_START, BUCKETS = "127.0.0.1", 600.0, ("dvc", "mlflow")
POSTGRES, PSYCOPG = "postgresql", "psycopg2"
QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "AWS_ACCESS_KEY_ID": "outage",
    "AWS_SECRET_ACCESS_KEY": "outage",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Servers:
    """An S3 store, PostgreSQL where it is installed, MLflow and Prefect; ``environment`` leads to them."""

    def __init__(self, folder: Path, pause: float):
        self.folder = folder
        self._ports = {name: free_port() for name in ("s3", POSTGRES, "mlflow", "prefect")}
        self.prefect, self.mlflow = (f"http://{LOOPBACK}:{self._ports[name]}" for name in ("prefect", "mlflow"))
        s3 = f"http://{LOOPBACK}:{self._ports['s3']}"
        self.environment = {
            **os.environ,
            **QUIET,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
            "PREFECT_API_URL": f"{self.prefect}/api",
            "PREFECT_HOME": str(folder / "prefect"),
            "MLFLOW_TRACKING_URI": self.mlflow,
            "AWS_ENDPOINT_URL_S3": s3,
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "TINY_LOOP_PAUSE": str(pause),
        }
        self.running: dict[str, Service] = {}
        self._s3 = s3

    def start(self) -> None:
        """Start all of them."""
        self._start("s3", ["moto.server", "-H", LOOPBACK, "-p", str(self._ports["s3"])], self._s3)
        buckets = [sys.executable, "deploy/buckets.py", *BUCKETS]
        subprocess.run(buckets, env=self.environment, check=True)
        stores = self._postgres() or {"mlflow": f"sqlite:///{self.folder}/mlflow.db"}
        if "prefect" in stores:
            self.environment["PREFECT_API_DATABASE_CONNECTION_URL"] = stores["prefect"]
        kinds = (stores[name].partition(":")[0] if name in stores else "sqlite" for name in ("mlflow", "prefect"))
        print("databases of MLflow and Prefect: " + ", ".join(kinds), flush=True)
        command = ["mlflow", "server", "--host", LOOPBACK, "--port", str(self._ports["mlflow"]), "--workers", "1"]
        command += ["--backend-store-uri", stores["mlflow"], "--artifacts-destination", "s3://mlflow"]
        self._start("mlflow", command, f"{self.mlflow}/health")
        command = ["prefect", "server", "start", "--host", LOOPBACK, "--port", str(self._ports["prefect"]), "--no-ui"]
        self._start("prefect", command, f"{self.prefect}/api/health")

    def back(self, name: str) -> None:
        """Start one again that was killed."""
        health = {"mlflow": f"{self.mlflow}/health", "prefect": f"{self.prefect}/api/health"}
        self.running[name].start(health[name])

    def end(self) -> None:
        """End all of them."""
        for service in reversed(self.running.values()):
            service.kill()

    def _start(self, name: str, module: list[str], health: str) -> None:
        command = [sys.executable, "-m", *module]
        self.running[name] = Service(command, self.environment, self.folder / f"{name}.log")
        self.running[name].start(health)

    def _postgres(self) -> dict[str, str] | None:
        """Start PostgreSQL with a database for each server; None where it or MLflow's driver is not installed."""
        found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *map(Path, filter(None, [shutil.which("initdb")]))]
        if not found or importlib.util.find_spec(PSYCOPG) is None:
            return None
        programs, data, port = found[0].parent, self.folder / POSTGRES, str(self._ports[POSTGRES])
        data.mkdir()
        user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses root
        if user:
            shutil.chown(data, user)
            self.folder.chmod(0o755)
        making = [programs / "initdb", "--auth=trust", "--username=outage", "-D", data]
        subprocess.run([str(part) for part in making], cwd="/", user=user, check=True, stdout=subprocess.DEVNULL)
        command = [str(programs / POSTGRES.removesuffix("ql")), "-D", str(data), "-p", port, "-k", str(data)]
        command += ["-c", f"listen_addresses={LOOPBACK}"]
        self.running[POSTGRES] = Service(command, self.environment, self.folder / f"{POSTGRES}.log", user=user)
        self.running[POSTGRES].start()
        at = ["-h", LOOPBACK, "-p", port]
        deadline = time.monotonic() + SECONDS_TO_START
        while subprocess.run([programs / "pg_isready", "-q", *at]).returncode and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in ("mlflow", "prefect"):
            subprocess.run([programs / "createdb", *at, "-U", "outage", name], check=True)
        there = f"outage@{LOOPBACK}:{port}"
        return {"mlflow": f"postgresql+psycopg2://{there}/mlflow", "prefect": f"postgresql+asyncpg://{there}/prefect"}
