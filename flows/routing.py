"""Which stages go to a Prefect work pool, and what that means for DVC's view of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import SpeechAlignError


class RoutingError(SpeechAlignError):
    """compute.pools cannot be used as it is written."""


def pools_of(stages: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the work pools of those stages that have one: ``compute.pools``, or ``meta: {pool: ...}`` of the stage.

    Args:
        stages: DVC's stages by their names.
        settings: content of params.yaml.

    Raises:
        RoutingError: compute.pools names no stage, or something else than a pool.
    """
    block = settings.get("compute")
    named = (block.get("pools") if isinstance(block, dict) else None) or {}
    if not isinstance(named, dict) or not all(isinstance(pool, str | None) for pool in named.values()):
        raise RoutingError(f"params.yaml: compute.pools should be STAGE: POOL, found {named!r}")
    known = {*stages, *(name.partition("@")[0] for name in stages)}
    if unknown := [str(name) for name in named if name not in known]:
        raise RoutingError(
            f"params.yaml: compute.pools names {', '.join(unknown)}, which dvc.yaml does not have; its stages are: "
            f"{', '.join(dict.fromkeys(name.partition('@')[0] for name in stages))}"
        )
    pools = {}
    for name, stage in stages.items():
        own = (stage.meta or {}).get("pool")
        pool = named.get(name, named.get(name.partition("@")[0], own))
        if pool:
            pools[name] = str(pool)
    return pools


def within(one: str, other: str) -> str | None:
    """Return the longer of two paths if it is the other one or lies in it."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return longer if longer == shorter or longer.startswith(f"{shorter}/") else None


def changed(stage: Any, upstream: list[Any], pooled: bool, reads_pooled: bool) -> bool:
    """Whether `dvc repro` would do something; what pools made and nobody fetched yet is no change."""
    if not pooled and not reads_pooled:
        return bool(stage.changed())
    if not pooled and not all(out.exists for out in stage.outs):
        return True
    return bool(stage.changed(allow_missing=True, upstream=upstream))


def fetchable(stage: Any, elsewhere: list[Any]) -> frozenset[str]:
    """Paths it reads that do not exist here, of stages that ran elsewhere by what dvc.lock says."""
    made = [out.def_path for other in elsewhere for out in other.outs if out.hash_info]
    deps = [dep.def_path for dep in stage.deps if not dep.exists]
    return frozenset(dep for dep in deps if any(within(dep, out) for out in made))
