"""The first steps of every training or sampling stage: parameters, threads, seeds, device, precision."""

from __future__ import annotations

import os

import torch

from tasks.common import ranks
from tasks.common.params import Params, ParamsError, load


def start(path: str = "params.yaml") -> tuple[Params, torch.device]:
    """Read the parameters, set threads and determinism, choose the device.

    ``SPEECHALIGN_THREADS`` overrides ``compute.threads``. The flow sets it when two stages run side by side: two
    PyTorch programs that each take every core slow each other tenfold.
    """
    params = load(path)
    # oneDNN keeps a kernel for each of the last 1,024 shapes, with its buffers: half a gigabyte where lengths vary
    # much. It reads this variable at its first product.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    torch.set_num_threads(int(os.environ.get("SPEECHALIGN_THREADS", params.compute.threads)))
    torch.manual_seed(params.seed)
    use_deterministic_algorithms()
    device = device_of(params.compute.device)
    fast_on(device)
    if ranks.is_worker() and device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # what "cuda" means from here on
    return params, device


def use_deterministic_algorithms() -> None:
    """Let PyTorch compute everything in one order, and leave the memory of new tensors as it is.

    It would fill each with NaN as well, so that code which reads what nobody wrote gives the same wrong result each
    time. That took 7 % of an alignment's time. Without it such code would be found by results that differ.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def fast_on(device: torch.device) -> None:
    """Let an NVIDIA GPU round float32 products to TF32, and sum bfloat16 products in float32."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def device_of(name: str) -> torch.device:
    """Return the device to use; ``auto`` takes an NVIDIA GPU if there is one.

    Apple's GPU is not used: it has no float64, which the sampler needs.

    Raises:
        ParamsError: a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ParamsError(f"compute.device is {name}, but PyTorch finds no NVIDIA GPU here; set it to auto or cpu")
    return torch.device(name)


def precision_of(name: str, device: torch.device) -> str:
    """Return accelerate's name of the precision to train in; float32 is ``no``.

    ``auto`` is float32 on every CPU, so that no result depends on the processor, and bf16 on a GPU that computes it.
    """
    if name == "auto":
        computes_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        name = "bf16" if computes_bf16 else "float32"
    return {"float32": "no"}.get(name, name)


def dtype_of(name: str, device: torch.device) -> torch.dtype | None:
    """Return what a policy's weights are cast to while it samples (:func:`precision_of`); None: as they are."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision_of(name, device))
