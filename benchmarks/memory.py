"""Peak memory of every stage that reads train, at the demo's size and at ten times that.

``python -m benchmarks.memory``; it takes some minutes.

Each stage runs in a process of its own, on made-up codes of the demo's lengths, and trains for three steps. What counts
is how the peak grows with the corpus: by no more than the data itself, in Arrow columns with two bytes per code, and
``ALLOWANCE``. Extraction reads real audio through its cuts, but a stand-in makes the codes: the encoder's own memory
does not depend on the corpus. Of gap only the reading is measured. nar_synthetic is left out: it holds the golden and
the synthetic codes, so its peak grows by twice the data.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.common import yaml12

UTTERANCES, LEVELS, FRAMES, CODEBOOK = 7000, 4, 48, 256  # the demo's train split
SPEAKERS = 16
ALLOWANCE = 10.0  # MB, for allocators, the order of the ids, and batches that happen to be longer
STEPS = 3
SETTINGS: dict[str, Any] = {
    "compute": {"device": "cpu", "threads": 1, "precision": "float32"},
    "policy": {"start": "train"},
    "ar": {"layers": 1, "width": 32, "heads": 2},
    "nar": {"layers": 1, "width": 32},
    "texts": {"sample": "corpus", "long": "none"},
    "sample": {"prompts": 16, "draws": 1},
    "decoding": {"max_frames_per_character": 4.0},
    "prefer": {"source": "golden"},
    "align": {"method": "sft", "nll_weight": 0.0},  # continued SFT: the method that reads train most
    "gap": {"dimensions": 4, "reference": 64},
}


def build(folder: Path, scale: int) -> float:
    """Write a workspace for every stage; return the train split's size in Arrow columns, in MB."""
    import numpy as np
    import soundfile

    from model import nar, policy
    from tasks.common import paths, schemas
    from tasks.common.files import write_row_groups, write_table

    repository = Path.cwd()
    params = yaml12.loads((repository / "params.yaml").read_text())
    for block, changes in SETTINGS.items():
        params[block] |= changes
    os.chdir(folder)
    Path("params.yaml").write_text(yaml12.dumps(params))
    Path("dvc.yaml").touch()
    Path("checkpoints").symlink_to(repository / "checkpoints")
    rng = np.random.default_rng(0)
    rate = json.loads((repository / "checkpoints/codec/config.json").read_text())["sample_rate"]
    soundfile.write("tone.flac", 0.3 * np.sin(np.arange(rate // 4) / 9), rate)
    size = 0.0
    for split, count in (("train", UTTERANCES * scale), ("dev", 64), ("test", 64)):
        table = made_up(split, count, rng)
        write_row_groups(paths.codes(split), [table], schemas.CODES)
        write_cuts(split, table, rate)
        size = size or table.nbytes / 1e6
    start = policy.build(policy.ArShape(1, 32, 2), CODEBOOK)
    policy.save(start, paths.ar("0"))
    nar.save(nar.Nar(nar.NarConfig(n_codebooks=LEVELS, codebook_size=CODEBOOK, layers=1, width=32)), paths.NAR)
    write_table(paths.pairs("0"), [], schemas.PAIRS)
    code = int(start.layout.code_tokens.ids[0, 1])
    columns = {"prompt_id": "test-00001", "draw": 0, "seed": 1, "tokens": [code] * FRAMES}
    columns |= {"logprobs": [0.0] * FRAMES, "behavior": [0.0] * FRAMES}
    write_table(paths.test_samples("0"), [{"id": f"test-{i:05d}", **columns} for i in range(64)], schemas.SAMPLES)
    return size


def made_up(split: str, count: int, rng: Any) -> Any:
    """Utterances of random codes, as a table of ``schemas.CODES``."""
    import pyarrow as pa

    from tasks.common import schemas
    from tasks.common.codes import codes_column

    frames = rng.integers(FRAMES // 2, FRAMES * 3 // 2, count)
    codes = codes_column([rng.integers(0, CODEBOOK, (LEVELS, n)).astype("uint16") for n in frames])
    digits = ["one", "two", "six", "ten"]
    columns = [
        [f"{split}-{i:05d}" for i in range(count)],
        [f"speaker {i % SPEAKERS}" for i in range(count)],
        [" ".join(digits[j] for j in row) for row in rng.integers(0, 4, (count, 3))],
        [True] * count,
        (frames / 50).tolist(),
        codes,
        pa.nulls(count, schemas.CODES.field("voice").type),
    ]
    return pa.table(columns, schema=schemas.CODES)


def write_cuts(split: str, table: Any, rate: int) -> None:
    """Cuts of the same short tone, one per utterance."""
    import gzip

    from lhotse import Recording, SupervisionSegment

    from tasks.common import paths

    cut = Recording.from_file("tone.flac").to_cut()
    cut.supervisions = [SupervisionSegment("tone", "tone", 0.0, cut.duration, text="", speaker="")]
    cut.custom = {"seen": True}
    template = cut.to_dict()
    paths.CUTS.mkdir(parents=True, exist_ok=True)
    with gzip.open(paths.cuts(split), "wt", compresslevel=1) as lines:
        for row in table.select(["id", "text", "speaker"]).to_pylist():
            supervision = template["supervisions"][0] | {"text": row["text"], "speaker": row["speaker"]}
            lines.write(json.dumps({**template, "id": row["id"], "supervisions": [supervision]}) + "\n")


# --- one stage, in a process of its own -----------------------------------------------------------------------------


def few_steps() -> None:
    """Let every stage of this process train for :data:`STEPS` steps."""
    from tasks.common import training

    fit = training.fit

    def short(model: Any, batches: Any, loss: Any, optimization: Any, **options: Any) -> Any:
        return fit(model, batches, loss, replace(optimization, steps=min(STEPS, optimization.steps)), **options)

    training.fit = short


def extract() -> None:
    import numpy as np
    import torch

    from tasks.extract import __main__ as stage

    class StandIn:
        sample_rate = json.loads(Path("checkpoints/codec/config.json").read_text())["sample_rate"]

        def encode(self, waves: list[torch.Tensor], batch_seconds: float) -> list[torch.Tensor]:
            rng = np.random.default_rng(0)
            return [torch.from_numpy(rng.integers(0, CODEBOOK, (LEVELS, FRAMES))) for _ in waves]

        def voice_of(self, wave: torch.Tensor) -> tuple[float, ...]:
            return ()

    stage.load_codec = lambda *_: StandIn()  # type: ignore[assignment]
    stage.main()


def sft_ar() -> None:
    from tasks.policy import __main__ as stage

    few_steps()
    stage.main()


def sft_nar() -> None:
    from tasks.nar import __main__ as stage

    few_steps()
    stage.main()


def texts() -> None:
    from tasks.texts import __main__ as stage

    stage.main()


def sample() -> None:
    from tasks.sample import __main__ as stage

    stage.main("1")


def prefer() -> None:
    from tasks.prefer import __main__ as stage

    stage.main("1")


def align() -> None:
    from tasks.align import __main__ as stage

    few_steps()
    stage.main("1")


def gap() -> None:
    from tasks.common import runtime
    from tasks.gap import tokens

    tokens.read_compared("0", *runtime.start())


STAGES: dict[str, Callable[[], None]] = {
    "sft_ar": sft_ar,
    "sft_nar": sft_nar,
    "texts": texts,
    "sample": sample,
    "prefer": prefer,
    "align": align,
    "gap": gap,
    "extract": extract,  # last, because it writes the codes that the others read
}


def peak() -> float:
    """This process's largest resident memory so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss also counts what the parent had when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def run(workspace: Path, *arguments: str, inside: Path) -> float:
    """Run this module in a process of its own; return the number it prints last."""
    environment = {"PYTHONPATH": str(Path.cwd()), "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}/mlflow.db"}
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, cwd=inside, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return float(done.stdout.split()[-1])


def main(
    work: Annotated[str | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
    scale: Annotated[int, typer.Option(help="how many times the demo's train split", min=1)] = 10,
) -> None:
    """Print each stage's peak memory at both sizes."""
    if work:
        if work == "build" and folder:
            print(build(folder, scale))
        else:
            STAGES[work]()
            print(peak())
        return
    peaks: dict[str, list[float]] = {name: [] for name in STAGES}
    sizes = []
    for times in (1, scale):
        workspace = Path(tempfile.mkdtemp(prefix="memory-"))
        building = ("--work", "build", "--folder", str(workspace), "--scale", str(times))
        sizes.append(run(workspace, *building, inside=Path.cwd()))
        for name in STAGES:
            peaks[name].append(run(workspace, "--work", name, inside=workspace))
            print(f"{name} at {times}x: {peaks[name][-1]:.0f} MB", file=sys.stderr, flush=True)
        shutil.rmtree(workspace)
    growth = sizes[1] - sizes[0]
    print(f"train: {sizes[0]:.1f} MB at 1x, {sizes[1]:.1f} MB at {scale}x, growth {growth:.1f} MB\n")
    print(f"| stage | peak at 1x, MB | at {scale}x, MB | growth, MB | at most the data and {ALLOWANCE:g} MB |")
    print("|---|---|---|---|---|")
    for name, (small, large) in peaks.items():
        verdict = "yes" if large - small <= growth + ALLOWANCE else "NO"
        print(f"| {name} | {small:.0f} | {large:.0f} | {large - small:+.1f} | {verdict} |")


if __name__ == "__main__":
    typer.run(main)
