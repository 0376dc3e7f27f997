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

TEXTS = ("recorded", "long")


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
    if "after" in trouble:  # it only ends if another stage starts before it has
        deadline = time.monotonic() + 60
        while trouble["after"] not in {line.split()[0] for line in Path("calls.log").read_text().splitlines()}:
            if time.monotonic() > deadline:
                sys.exit(f"{trouble['after']} did not start while {name} ran")
            time.sleep(0.02)
    if "message" in trouble and not Path(trouble.get("unless", "-")).exists():
        Path(trouble.get("leaves", "left")).write_text("")
        print(trouble["message"], file=sys.stderr)
        sys.exit(1)
    run = Path("runs") / iteration
    if stage == "prepare":
        write("data/train.txt", str(params["prepare"]))
    elif stage == "policy":
        write(run / "policy", json.dumps({"texts": "long", **params["iterations"].get(iteration, {})}))
    elif stage == "sample":
        write(run / "samples", iteration)
    elif stage == "evaluate":
        policy = json.loads((run / "policy").read_text())  # which set of texts its rise is on
        rise = policy.get("rise")
        # Test says the opposite of dev, because nothing may be decided there.
        scores = {
            split: {"best": {texts: table(rise and sign * rise * (texts == policy["texts"])) for texts in TEXTS}}
            for split, sign in (("dev", 1), ("test", -1))
        }
        decoding = {"best": {"temperature": 0.5, "top_k": 0, "top_p": 1.0}}
        metrics = {"iteration": iteration, "decoding": decoding, "scores": scores}
        write(run / "metrics.json", json.dumps(metrics))
        write(run / "utterances", iteration)
    elif stage == "report":
        write("reports/index.html", " ".join(sorted(path.parent.name for path in Path("runs").glob("*/metrics.json"))))


def table(rise: float | None) -> dict:
    """Scores on one set of texts, and the rise over the iteration before."""
    found = {"all": {"wer": interval(0.1), "similarity": interval(0.8)}}
    return found if rise is None else found | {"versus_previous": {"wer": interval(rise)}}


def interval(value: float) -> dict:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def write(path: str | Path, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


if __name__ == "__main__":
    main()
