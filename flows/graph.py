"""DVC's graph of ``dvc.yaml``, read and never written down a second time.

The flow learns about an iteration from stage names (``align@2`` belongs to iteration "2") and from the files
that stages declare (the stage that writes ``runs/2/metrics.json`` judges iteration "2").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import dvc_lock, routing, waiting
from flows.routing import within
from model.errors import SpeechAlignError
from tasks.common import paths, yaml12

PIPELINE = "dvc.yaml"
STUDY = "study/dvc.yaml"


class GraphError(SpeechAlignError):
    """The pipeline cannot be run as it is written, or a named stage is not in it."""


@dataclass(frozen=True)
class Stage:
    name: str
    upstream: tuple[str, ...]  # names of the stages it depends on
    deps: tuple[str, ...]  # paths it reads, relative to the project
    outs: tuple[str, ...]  # paths it writes
    changed: bool  # whether `dvc repro` would do something if nothing upstream ran
    all_cores: bool = False  # `meta: {cores: all}`: it takes every core, even if another stage runs
    ahead: bool = False  # `meta: {ahead: true}`: it does not wait until the iteration it builds on is judged
    pipeline: str = PIPELINE
    pool: str | None = None  # `meta: {pool: gpu}` or compute.pools: the Prefect work pool that runs it
    metrics: tuple[str, ...] = ()  # those of its outputs that are metrics or plots
    fetchable: frozenset[str] = frozenset()  # paths it reads that are not here, but that a pool made

    @property
    def address(self) -> str:
        """Name for DVC, from the project's folder."""
        return self.name if self.pipeline == PIPELINE else f"{self.pipeline}:{self.name}"

    @property
    def iteration(self) -> str | None:
        """``k`` of ``name@k``."""
        return self.name.rpartition("@")[2] if "@" in self.name else None

    def missing(self) -> list[str]:
        """Paths it reads that do not exist, here or in DVC's remote."""
        return [path for path in self.deps if path not in self.fetchable and not Path(path).exists()]


@dataclass(frozen=True)
class Graph:
    """Stages by name, each after those it depends on."""

    stages: dict[str, Stage]
    parents: dict[str, set[str]] = field(default_factory=dict)  # iteration -> the iterations it builds on, all the way

    def __post_init__(self) -> None:
        for stage in self.stages.values():
            if stage.iteration is None:
                continue
            parents = self.parents.setdefault(stage.iteration, set())
            for name in stage.upstream:
                above = self.stages[name].iteration
                if above is not None and above != stage.iteration:
                    parents |= {above} | self.parents[above]

    def judge(self, iteration: str) -> Stage | None:
        """The stage that writes the iteration's metrics."""
        return self.writes(str(paths.metrics(iteration)))

    def writes(self, path: str) -> Stage | None:
        return next((stage for stage in self.stages.values() if path in stage.outs), None)

    def judges(self) -> dict[str, Stage]:
        """Iteration -> the stage that writes its metrics, in the order they run."""
        written = [(Path(out), stage) for stage in self.stages.values() for out in stage.outs]
        first = paths.metrics("0")
        judged = [(path, stage) for path, stage in written if path.parts[::2] == first.parts[::2]]
        return {path.parent.name: stage for path, stage in judged if path.parent != paths.CEILING}

    def inputs(self, stage: Stage) -> dict[str, Stage]:
        """Outputs of other stages that a stage reads, or the parts that it names, with the stages that make them."""
        found = {}
        for maker in (self.stages[name] for name in stage.upstream):
            for path in (within(dep, out) for dep in stage.deps for out in maker.outs):
                if path:
                    found[path] = maker
        return found

    def leaf(self, stage: Stage) -> bool:
        """Whether no other stage reads what it writes: people do."""
        return not any(stage.name in other.upstream for other in self.stages.values())

    def up_to_date(self, chosen: Iterable[str]) -> bool:
        return not any(self.stages[name].changed for name in chosen)

    def named(self, targets: Iterable[str]) -> set[str]:
        """The named stages alone. ``evaluate`` names every ``evaluate@k``.

        Raises:
            GraphError: a name is not in the graph.
        """
        chosen: set[str] = set()
        for target in targets:
            matching = [name for name in self.stages if name == target or name.partition("@")[0] == target]
            if not matching:
                file = next((stage.pipeline for stage in self.stages.values()), PIPELINE)
                raise GraphError(f"{file} has no stage {target!r}; its stages are: {', '.join(self.stages)}")
            chosen.update(matching)
        return chosen

    def closure(self, targets: Iterable[str]) -> set[str]:
        """The named stages and all they depend on.

        Raises:
            GraphError: a name is not in the graph.
        """
        chosen = self.named(targets)
        for name in reversed(self.stages):
            if name in chosen:
                chosen.update(self.stages[name].upstream)
        return chosen


def read(pipeline: str = PIPELINE) -> Graph:
    """The graph of one ``dvc.yaml`` and what has changed since each stage last ran.

    Other pipelines (``bootstrap/``) are left out. Another DVC process that holds files of the graph is waited for.

    Raises:
        GraphError: there is no pipeline, DVC cannot read it, or foreach stages are lost.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    if not Path(pipeline).is_file():
        raise GraphError(f"no {pipeline} in {Path.cwd()}: run from the repository's top folder")
    dvc_lock.empty_if_torn()
    try:
        return waiting.patiently(lambda: _read(pipeline), LockError, waiting.holder_of)
    except DvcException as error:
        raise GraphError(f"DVC cannot use {pipeline}: {error}") from error
    except routing.RoutingError as error:
        raise GraphError(str(error)) from error


def _read(pipeline: str) -> Graph:
    from dvc.repo import Repo

    with Repo(".", _wait_for_lock=True) as repo:
        own = {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == pipeline}
        _check_foreach(pipeline)
        graph = repo.index.graph
        edges = {
            name: [above.name for above in graph.successors(stage) if above.path_in_repo == pipeline]
            for name, stage in own.items()
        }
        stages = {}
        pools = routing.pools_of(own, _settings()) if pipeline == PIPELINE else {}
        with repo.lock:
            for name in _ordered(edges, by_iteration=pipeline == PIPELINE):
                stage = own[name]
                meta = stage.meta or {}
                elsewhere = [own[above] for above in edges[name] if above in pools]
                stages[name] = Stage(
                    name=name,
                    upstream=tuple(sorted(edges[name])),
                    deps=tuple(dep.def_path for dep in stage.deps),
                    outs=tuple(out.def_path for out in stage.outs),
                    changed=routing.changed(
                        stage, [own[above] for above in edges[name]], name in pools, bool(elsewhere)
                    ),
                    all_cores=meta.get("cores") == "all",
                    ahead=meta.get("ahead") is True,
                    pipeline=pipeline,
                    pool=pools.get(name),
                    metrics=tuple(out.def_path for out in stage.outs if out.metric or out.plot),
                    fetchable=routing.fetchable(stage, elsewhere),
                )
        return Graph(stages)


def discard_outputs(name: str) -> None:
    """Remove what a stage wrote, as DVC does before it runs one; ``dvc checkout`` brings it back from DVC's cache."""
    from dvc.lock import LockError
    from dvc.repo import Repo

    def discard() -> None:
        with Repo(".", _wait_for_lock=True) as repo, repo.lock:
            for stage in repo.stage.collect(name):
                stage.remove_outs(ignore_remove=False)

    waiting.patiently(discard, LockError, waiting.holder_of)


def _check_foreach(pipeline: str) -> None:
    """DVC drops the integer keys of a mapping it iterates over and says nothing: fail instead."""
    stages, settings = _content(Path(pipeline)).get("stages"), _content(Path(pipeline).with_name("params.yaml"))
    if not stages:
        raise GraphError(f"{pipeline} has no stages; restore it (git checkout {pipeline})")
    for name, stage in stages.items():
        if "foreach" not in stage:
            continue
        over = stage["foreach"]  # ${NAME} of the params.yaml next to the pipeline
        items = settings[over.strip("${} ")]
        if not items:
            raise GraphError(f"{pipeline}: {name} iterates over {over}, which is empty, so it has no stages")
        if lost := [key for key in items if not isinstance(key, str)]:
            raise GraphError(
                f"DVC dropped {', '.join(f'{name}@{key}' for key in lost)}: the keys of {over} must be strings, "
                f'but {lost[0]!r} is not; write it in quotes ("{lost[0]}")'
            )


def _settings() -> dict[str, Any]:
    file = Path("params.yaml")
    return _content(file) if file.is_file() else {}


def _content(file: Path) -> dict[str, Any]:
    """Return the named entries of a YAML file that DVC has read; an empty file has none."""
    content = yaml12.loads(file.read_text(encoding="utf-8"))
    if content is not None and not isinstance(content, dict):
        raise GraphError(f"{file} should hold named entries, found {type(content).__name__}")
    return content or {}


def _ordered(edges: dict[str, list[str]], by_iteration: bool) -> list[str]:
    """Topological order; among stages that could come next, the earliest iteration, then the order of dvc.yaml.

    Args:
        by_iteration: whether ``@k`` of a name is an iteration. In the study it is a seed.
    """
    import networkx as nx

    written = list(edges)

    def rank(name: str) -> tuple[int, int]:
        key = name.rpartition("@")[2] if "@" in name and by_iteration else ""
        return (int(key) if key.isdigit() else 0, written.index(name))

    forward = nx.DiGraph()
    forward.add_nodes_from(edges)
    forward.add_edges_from((above, name) for name, aboves in edges.items() for above in aboves)
    return list(nx.lexicographical_topological_sort(forward, key=rank))
