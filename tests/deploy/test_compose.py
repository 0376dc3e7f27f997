"""``deploy/compose.yaml``: what can be checked without an engine. Its YAML was validated by compose-spec's schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ONCE = {"buckets", "deployments"}  # they end


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_no_password_is_in_the_file(services):
    asked = set()
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|ACCESS_KEY|ENCRYPTION_KEY", name):
                assert re.fullmatch(r"\$\{(\w+):\?.+\}", str(value)), f"{name} should come from deploy/.env"
            if "://" in str(value) and "@" in str(value):
                assert re.search(r"://\w+:\$\{\w+:\?", value), f"{name} should hold no password"
            asked.update(re.findall(r"\$\{(\w+)", str(value)))
    named = [
        line.split("=") for line in (DEPLOY / "env.example").read_text().splitlines() if "=" in line and line[0] != "#"
    ]
    assert {name for name, _ in named} == asked
    assert not any(value for _, value in named)
    assert "/deploy/.env" in (DEPLOY.parent / ".gitignore").read_text().split()
    assert "deploy/.env" in (DEPLOY.parent / ".dockerignore").read_text().split()


def test_nothing_listens_beyond_this_machine(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned_and_what_stays_up_is_watched(services):
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        assert tag and tag != "latest", f"{name}: {image} needs a version"
        if name not in ONCE and name != "worker":
            assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped"
        for other, condition in service.get("depends_on", {}).items():
            ends = condition["condition"] == "service_completed_successfully"
            assert ends == (other in ONCE), f"{name} waits for {other}"


def test_mounted_files_exist(services):
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    files = [path for path in mounted if path.startswith("./")]
    assert files and all((DEPLOY / path).is_file() for path in files)


def test_mlflow_has_the_version_of_the_lock(services):
    version = services["mlflow"]["image"].rpartition(":")[2]
    lock = (DEPLOY.parent / "requirements.lock").read_text()
    assert f"\nmlflow=={version} " in lock
    assert f"mlflow=={version} " in (DEPLOY / "mlflow.Dockerfile").read_text()
    prefect = services["prefect"]["image"].rpartition(":")[2].partition("-")[0]
    assert f"\nprefect=={prefect} " in lock
