"""The machine, libraries and precision that numbers were computed with: written next to them."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tasks.common import paths
from tasks.common.params import Params
from tasks.common.runtime import precision_of

PACKAGES = ("torchaudio", "numpy", "transformers", "accelerate", "openai-whisper", "resemblyzer", "jiwer")
CPU_FACTS = Path("/proc/cpuinfo")


def describe(params: Params, device: torch.device) -> dict[str, Any]:
    """Return what the results of this process may depend on besides its inputs and code, ready for JSON."""
    cuda, name = device.type == "cuda", precision_of(params.compute.precision, device)
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.is_available(),
        "mkl": torch.backends.mkl.is_available(),
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "sft_precision": _trained_in() or {"no": "float32"}.get(name, name),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,  # with its CUDA build
        **{name: found.version for name in PACKAGES for found in metadata.distributions(name=name)},
    }


def _trained_in() -> str | None:
    """Return the precision that ``sft_ar`` noted: another machine may have trained the policy."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        noted = json.loads(paths.tracking("0").read_text(encoding="utf-8"))
        return noted.get("sft_precision") if isinstance(noted, dict) else None
    return None


def processor() -> str:
    """Return the processor's model as Linux names it, or as Python does elsewhere."""
    lines = CPU_FACTS.read_text(encoding="utf-8").splitlines() if CPU_FACTS.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def tags(when: str, environment: dict[str, Any]) -> dict[str, str]:
    """Return MLflow tags such as ``trained.processor``."""
    return {f"{when}.{name}": str(value) for name, value in environment.items()}
