"""``deploy/kubernetes/base-job-template.json``: Prefect's server takes it, and its jobs ask for a GPU and a node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = Path(__file__).resolve().parents[3] / "deploy/kubernetes/base-job-template.json"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return json.loads(TEMPLATE.read_text())


def test_every_variable_is_declared_and_used(template):
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == template["variables"]["properties"].keys()


def test_a_job_has_gpus_a_node_and_no_root(template):
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    defaults = {name: variable.get("default") for name, variable in template["variables"]["properties"].items()}

    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}" and defaults["gpus"] == 1
    assert pod["nodeSelector"] == "{{ node_selector }}" and defaults["node_selector"]
    assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
    # The image's entry point is the command `speechalign`, which Prefect's command must not be an argument of.
    assert container["command"] == ["/usr/bin/env"] and container["args"] == "{{ command }}"
    assert defaults["backoff_limit"] == 0  # the flow gives a lost stage to another worker


def test_prefects_server_makes_a_pool_of_it(template):
    # What the server checks of a new pool, without the 14 s that it takes to start.
    from prefect.server.schemas.actions import WorkPoolCreate
    from prefect.utilities.schema_tools import validate

    made = WorkPoolCreate(name="kubernetes", type="kubernetes", base_job_template=template).base_job_template
    variables = made["variables"]
    assert variables["properties"]["gpus"]["default"] == 1
    defaults = {name: one["default"] for name, one in variables["properties"].items() if "default" in one}
    validate(defaults, variables, raise_on_error=True, preprocess=False)
    with pytest.raises(ValueError, match="gpus"):
        WorkPoolCreate(
            name="kubernetes",
            base_job_template={
                **template,
                "variables": {"properties": {k: v for k, v in variables["properties"].items() if k != "gpus"}},
            },
        )
