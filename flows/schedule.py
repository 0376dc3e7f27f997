"""Walk over the graph: start a few stages at once, each after its dependencies, and stop early where asked to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Cancelled, Completed, Failed

from flows import process, stopping
from flows.graph import Graph, Stage, discard_outputs
from flows.places import Here, Place, elsewhere
from flows.stage import FAILED, RAN, RESTORED, SKIPPED, UNCHANGED, Outcome, machine_threads
from tasks.common import paths
from tasks.common.files import read_json

RETRY_DELAY_SECONDS = 5


@dataclass(frozen=True)
class Options:
    jobs: int = 2  # stages at once
    early_stop: bool = True
    retries: int = 0  # of a stage that failed
    timeout: float | None = None  # seconds of one stage
    again: frozenset[str] = frozenset()  # names of stages that run even if they are up to date

    def forces(self, stage: Stage) -> bool:
        """Whether a stage runs even if it is up to date."""
        return bool(self.again & {stage.name, stage.name.partition("@")[0]})


@task(cache_policy=NO_CACHE, task_run_name="{stage}")
def run_stage(stage: str, known: Outcome | None, threads: int, timeout: float | None, place: Place) -> State[Outcome]:
    """Bring a stage up to date, or record what is known of it already; the state is named after the outcome."""
    logger = get_run_logger()
    try:
        outcome = known or place.run(stage, threads, timeout, logger.info)
    except process.StoppedError as error:
        return Cancelled(message=str(error))
    if outcome.how == FAILED:
        return Failed(message=f"{stage}: {outcome.message}", data=outcome)
    message = outcome.message or f"{outcome.how}, {outcome.seconds:.1f} s"
    return Completed(name=outcome.how.capitalize(), message=message, data=outcome)


@dataclass
class Schedule:
    """One walk over the chosen stages.

    A stage is started if it has changed, or if a stage above it has run; ``dvc repro`` then has the last word.
    After the first failure no other stage starts; those under way finish.
    """

    graph: Graph
    chosen: set[str]
    options: Options
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    worse: set[str] = field(default_factory=set)  # iterations that made things worse; branches may have one each
    _futures: dict[str, PrefectFuture[Any]] = field(default_factory=dict)
    _running: dict[PrefectFuture[Any], Stage] = field(default_factory=dict)

    def run(self) -> dict[str, Outcome]:
        """Outcome of each stage that was reached."""
        process.allow()
        try:
            while True:
                self._settle()
                self._start()
                if not self._running:
                    return self.outcomes
                self._finish(next(as_completed(list(self._running))))
        except BaseException as error:
            if not isinstance(error, Exception):  # Prefect's own form of SIGTERM
                stopping.begin()
            raise
        finally:
            # Something still runs only when the flow is cancelled or breaks: its processes end with it.
            process.stop_all()
            for future in self._running:
                future.wait()

    @property
    def failed(self) -> dict[str, Outcome]:
        return {name: outcome for name, outcome in self.outcomes.items() if outcome.how == FAILED}

    def _ready(self) -> list[Stage]:
        if self.failed:
            return []
        open_ = self.chosen - self.outcomes.keys() - {stage.name for stage in self._running.values()}
        stages = [stage for stage in self.graph.stages.values() if stage.name in open_]
        return [stage for stage in stages if self._awaited(stage) <= self.outcomes.keys()]

    def _awaited(self, stage: Stage) -> set[str]:
        """Return the stages it depends on and, to stop early, the judgement of the iterations it builds on.

        A stage that goes ahead uses the cores that the judgement leaves idle; should that stop the loop, its work is
        lost.
        """
        awaited = set(stage.upstream)
        if self.options.early_stop and not stage.ahead:
            judges = map(self.graph.judge, self.graph.parents.get(stage.iteration or "", ()))
            awaited |= {judge.name for judge in judges if judge}
        return awaited & self.chosen

    def _known(self, stage: Stage) -> Outcome | None:
        """Return a stage's outcome where nothing has to run to know it, else None."""
        above = {name: self.outcomes[name].how for name in stage.upstream if name in self.outcomes}
        if not (stage.changed or self.options.forces(stage)) and not set(above.values()) & {RAN, RESTORED, SKIPPED}:
            return Outcome(UNCHANGED, message="nothing to do")
        if worse := sorted(self.worse & self.graph.parents.get(stage.iteration or "", set())):
            return Outcome(SKIPPED, message=f"early stop: iteration {', '.join(worse)} made the WER on dev worse")
        if SKIPPED in above.values() and (missing := self._lost(stage)):
            return Outcome(SKIPPED, message=f"it reads {', '.join(missing)}, which a skipped stage makes")
        return None

    def _lost(self, stage: Stage) -> list[str]:
        """Return paths it reads that do not exist, because the stage that makes them was skipped."""
        made = self.graph.inputs(stage)
        skipped = {path for path, maker in made.items() if self._was_skipped(maker)}
        here = [path for path in stage.missing() if path not in made]
        return here + [path for path in stage.deps if path in skipped and not Path(path).exists()]

    def _was_skipped(self, stage: Stage) -> bool:
        return stage.name in self.outcomes and self.outcomes[stage.name].how == SKIPPED

    def _place(self, stage: Stage) -> Place:
        """Return where a stage runs, and what has to be brought there."""
        inputs = {path: maker for path, maker in self.graph.inputs(stage).items() if not self._was_skipped(maker)}
        if stage.pool is None:
            lacking = tuple(path for path, maker in inputs.items() if maker.pool and not Path(path).exists())
            return Here(lacking, self.options.forces(stage))
        return elsewhere(stage, inputs, self.graph.leaf(stage), self.options.forces(stage))

    def _settle(self) -> None:
        """Record the stages that need no process; each may make others ready."""
        while known := [(stage, outcome) for stage in self._ready() if (outcome := self._known(stage))]:
            for stage, outcome in known:
                if outcome.how == SKIPPED and stage.iteration is not None:
                    # What an earlier run left here belongs to another policy; no report may take it for this one's.
                    discard_outputs(stage.address)
                self._submit(stage, outcome, threads=1)
                self._record(stage, outcome)

    def _start(self) -> None:
        """Start what may; stages on pools take none of this machine's places."""
        ready = self._ready()
        here = sum(stage.pool is None for stage in self._running.values())
        local = [stage for stage in ready if stage.pool is None][: self.options.jobs - here]
        starting = [stage for stage in ready if stage.pool or stage in local]
        all_of_them = machine_threads()
        share = max(all_of_them // max(here + len(local), 1), 1)
        for stage in starting:
            self._running[self._submit(stage, None, all_of_them if stage.all_cores else share)] = stage

    def _submit(self, stage: Stage, known: Outcome | None, threads: int) -> PrefectFuture[Any]:
        retries = 0 if known else self.options.retries
        configured = run_stage.with_options(
            # Prefect logs a stack of its own frames when retries run out; the condition ends them one earlier instead.
            retries=retries + 1,
            retry_delay_seconds=RETRY_DELAY_SECONDS,
            retry_condition_fn=lambda _task, run, _state: run.run_count <= retries,
        )
        future = configured.submit(
            stage.address,
            known,
            threads,
            self.options.timeout,
            Here() if known else self._place(stage),
            return_state=False,
            wait_for=[self._futures[name] for name in stage.upstream if name in self._futures],
        )
        self._futures[stage.name] = future
        return future

    def _finish(self, future: PrefectFuture[Any]) -> None:
        stage = self._running.pop(future)
        self._record(stage, future.result(raise_on_failure=False))

    def _record(self, stage: Stage, outcome: Outcome | Exception) -> None:
        if not isinstance(outcome, Outcome):
            raise outcome
        self.outcomes[stage.name] = outcome
        iteration = stage.iteration
        if not self.options.early_stop or outcome.how in (FAILED, SKIPPED) or iteration is None:
            return
        if self.graph.judge(iteration) == stage and (least := least_rise(iteration)) is not None and least > 0:
            self.worse.add(iteration)
            get_run_logger().warning(
                f"iteration {iteration} made the WER on dev worse than the one before, by {least:.4f} at least: "
                f"iterations that build on it are skipped"
            )


def least_rise(iteration: str) -> float | None:
    """Lower end of the interval of the WER's rise on dev over the iteration before, of the set where it is highest.

    None if the iteration is compared with nothing.
    """
    path = Path(paths.metrics(iteration))
    if not path.is_file():
        return None
    tables = read_json(path, dict)["scores"]["dev"]["best"].values()
    return max((table["versus_previous"]["wer"]["low"] for table in tables if "versus_previous" in table), default=None)
