"""A loop of four stages that take no time: ``python stages.py policy``. params.yaml says what goes wrong."""

import hashlib
import os
import sys
import time
from pathlib import Path

import yaml

READS = {"prepare": [], "policy": ["data"], "evaluate": ["data/test.txt", "runs/1/policy"], "report": ["runs"]}


def main() -> None:
    stage = sys.argv[1]
    params = yaml.safe_load(Path("params.yaml").read_text())
    trouble = params["trouble"].get(stage, {})
    with Path(params["calls"]).open("a") as log:  # outside of every clone
        log.write(f"{stage} {os.getpid()}\n")
    print(f"{stage}: at work", flush=True)
    deadline = time.monotonic() + 900
    while "until" in trouble and not Path(trouble["until"]).exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    if "message" in trouble:
        sys.exit(trouble["message"])
    digest = hashlib.sha256(f"{stage} {params['seed']}".encode())
    files = [file for read in READS[stage] for file in sorted([Path(read), *Path(read).rglob("*")]) if file.is_file()]
    for file in files:
        digest.update(f"{file}".encode() + file.read_bytes())
    text = digest.hexdigest()
    if stage == "prepare":
        for name in ("train", "test"):
            write(f"data/{name}.txt", f"{name} {text}\n" * 2000)
    elif stage == "policy":
        write("runs/1/policy/weights.bin", text * 1000)
        write("runs/1/policy/config.json", "{}")
    elif stage == "evaluate":
        write("runs/1/scores.json", f'{{"wer": "{text}"}}')
        write("runs/1/audio/a.flac", text)
    else:
        write("reports/index.html", text)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


if __name__ == "__main__":
    main()
