"""A pipeline in the shape of the real one whose stages take no time: prepare, policies, judgements, report.

Copied beside the toy ``dvc.yaml`` and run as ``python toy.py <stage> [iteration]``; ``params.yaml`` says what goes
wrong.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml


def main() -> None:
    stage, iteration = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    params = yaml.safe_load(Path("params.yaml").read_text())
    name = f"{stage}@{iteration}" if iteration else stage
    with Path("calls.log").open("a") as log:
        log.write(f"{name} threads={os.environ['SPEECHALIGN_THREADS']}\n")
    print(f"{name}: 3/4, 1 s left")
    trouble = params.get("trouble", {}).get(name, {})
    if "sleep" in trouble:
        child = subprocess.Popen(["sleep", "300"])
        stray = subprocess.Popen(["sleep", "300"], start_new_session=True)
        Path("pids").write_text(f"{os.getpid()} {child.pid} {stray.pid}")
        time.sleep(300)
    if "message" in trouble and not Path(trouble.get("unless", "-")).exists():
        Path(trouble.get("leaves", "left")).write_text("")
        print(trouble["message"], file=sys.stderr)
        sys.exit(1)
    run = Path("runs") / iteration
    if stage == "prepare":
        write("data/train.txt", str(params["prepare"]))
    elif stage == "policy":
        rise = params["iterations"][iteration]["rise"] if iteration != "0" else None
        write(run / "policy", json.dumps({"wer": 0.1, "rise": rise}))
    elif stage == "sample":
        write(run / "samples", iteration)
    elif stage == "evaluate":
        policy = json.loads((run / "policy").read_text())
        metrics = {"iteration": iteration, "all": {"wer": interval(policy["wer"]), "similarity": interval(0.8)}}
        if policy["rise"] is not None:
            metrics["versus_previous"] = {"wer": interval(policy["rise"])}
        write(run / "metrics.json", json.dumps(metrics))
        write(run / "utterances", iteration)
    elif stage == "report":
        write("reports/index.html", " ".join(sorted(path.parent.name for path in Path("runs").glob("*/metrics.json"))))


def interval(value: float) -> dict:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def write(path: str | Path, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


if __name__ == "__main__":
    main()
