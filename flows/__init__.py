"""Prefect flows: when and where the stages of ``dvc.yaml`` run. DVC alone decides what depends on what.

Prefect reads its settings on import, so the defaults are set here. A run without a server keeps its database in the
project's own ``.prefect`` folder, reports no usage, and gives the temporary server time to start on a slow machine.
Variables already set in the environment win.
"""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
}
_DEFAULTS = {
    "PREFECT_HOME": str(PROJECT / ".prefect"),
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": "%(asctime)s | %(task_run_name)-12s | %(message)s",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": "%(asctime)s | %(flow_name)s | %(message)s",
}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
if not os.environ.get("PREFECT_API_URL", "unset"):
    del os.environ["PREFECT_API_URL"]  # empty means no server; Prefect would read it as an address
if "prefect" not in sys.modules:  # a worker has loaded its own settings already
    for _name, _value in _DEFAULTS.items():
        os.environ.setdefault(_name, _value)
