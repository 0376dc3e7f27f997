"""The flow's side: give a stage to a work pool, watch it, take over what it made.

What is under way for the same job is waited for: a flow that was killed and started again repeats nothing. A worker
that gives no sign of life for a while is taken for lost, and its stage goes to another.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, Crashed

from flows import QUIET, process
from flows.graph import Stage, discard_outputs
from flows.pools import job, lock, report
from flows.pools.job import Job
from flows.pools.report import Report
from flows.stage import FAILED, Outcome
from model.errors import SpeechAlignError
from tasks.common import secrets
from tasks.common.stage import failure

SILENCE = "SPEECHALIGN_POOL_SILENCE_SECONDS"  # without a sign of life, after which a worker counts as lost
SILENCE_SECONDS = 120.0
POLL_SECONDS = 1.0
PENDING_SECONDS = 3600.0  # in which a worker that took a stage must begin: an image may have to be fetched
TRIES = 3  # workers that may be lost, one after the other
SAY_SECONDS = 60.0  # between two messages about the same wait
_OPEN = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED)
_OVER = (StateType.FAILED, StateType.COMPLETED, StateType.CANCELLED, StateType.CANCELLING)

Say = Callable[[str], None]


class PoolError(SpeechAlignError):
    """A stage could not be given to its pool."""


@dataclass(frozen=True)
class Elsewhere:
    """One stage on a pool, and which outputs of other stages it reads."""

    stage: Stage
    inputs: tuple[str, ...]
    own: tuple[str, ...]  # those of the inputs that were made here, which the remote may lack
    makers: tuple[str, ...]  # names of the stages that made them
    shown: tuple[str, ...]  # its outputs that the flow or a person reads, fetched at once
    force: bool = False  # run it even if it is up to date

    def run(self, stage: str, threads: int, timeout: float | None, show: Say) -> Outcome:
        """Bring the stage up to date on its pool; its entry is in dvc.lock then, its data in DVC's remote.

        The worker decides about its threads.

        Raises:
            process.StoppedError: the flow ended meanwhile; the worker was told to stop.
        """
        try:
            entries = lock.entries([*self.makers, self.stage.name])
            order = job.of(self.stage.name, list(self.inputs), entries, timeout, self.force)
            transfer("push", list(self.own))
            with get_client(sync_client=True) as client:
                found = _Watch(client, self.stage, order, show).result()
            if found.how == FAILED:
                return Outcome(FAILED, found.seconds, found.message)
            entry = lock.check(self.stage, json.loads(found.entry))
            if lock.entries([self.stage.name]).get(self.stage.name) != entry:
                discard_outputs(self.stage.address)  # they are of an earlier run
            lock.merge(self.stage, entry)
            transfer("pull", list(self.shown))
            return Outcome(found.how, found.seconds)
        except (SpeechAlignError, ValueError) as error:
            return Outcome(FAILED, message=str(error))


def transfer(verb: str, paths: list[str]) -> None:
    """Exchange outputs with DVC's remote, in a process that ends with the flow.

    Raises:
        PoolError: the remote fails; the message names the cause.
        process.StoppedError: the flow ended meanwhile.
    """
    if not paths:
        return
    errors: list[str] = []
    command = [sys.executable, "-m", "flows.pools.transfer", verb, *paths]
    quiet = {**QUIET, **os.environ, "PYTHONWARNINGS": "ignore"}
    if process.run(command, quiet, lambda stream, line: errors.append(line) if stream == "stderr" else None):
        raise PoolError(failure(errors) or f"`dvc {verb}` failed and did not say why")


class _Watch:
    """One job from its start to its result, over lost workers and a server that goes away for a while."""

    def __init__(self, client: SyncPrefectClient, stage: Stage, order: Job, show: Say):
        self._client, self._stage, self._order, self._show = client, stage, order, show
        self._pool = stage.pool or ""
        self._said, self._said_at = "", 0.0
        self._seen: Report | None = None
        self._lost = ""  # why the last worker counts as lost

    def result(self) -> Report:
        """The worker's last report.

        Raises:
            PoolError: there is no such deployment, or every worker was lost.
        """
        for attempt in range(TRIES):
            key = uuid.uuid4().hex  # a request that was carried out and asked again is not carried out twice
            run: UUID = self._answered(partial(self._started, key))
            try:
                found = self._watch(run)
            except process.StoppedError:
                self._stop(run)
                raise
            if found is not None:
                return found
            left = TRIES - attempt - 1
            again = "given to the pool again" if left else "no try is left"
            self._say(f"its worker was lost ({self._lost}); {again}")
        raise PoolError(
            f"{TRIES} workers of pool {self._pool} were lost while they ran {self._stage.name}, one after the other; "
            f"the last: {self._lost}. Their logs say more (have they this project's packages, and enough memory?)"
        )

    def _started(self, key: str) -> UUID:
        """Return the flow run that is under way for this job, or a new one."""
        tags = FlowRunFilterTags(all_=[self._order.digest])
        states = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_OPEN)))
        under_way = self._client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags, state=states), limit=1)
        if under_way:
            self._say(f"pool {self._pool} is at it already")
            return under_way[0].id
        name = f"{job.FLOW}/{self._pool}"
        deployment = None
        with contextlib.suppress(ObjectNotFound):
            deployment = self._client.read_deployment_by_name(name)
        if deployment is None or deployment.work_pool_name is None:  # no pool: it was deleted since
            lacking = f"no deployment {name}" if deployment is None else f"no pool any more for the deployment {name}"
            raise PoolError(
                f"{self._stage.name} goes to pool {self._pool}, but there is {lacking} at "
                f"{secrets.address(str(PREFECT_API_URL.value()))}. Make the pool and deploy it (docs/pools.md), set "
                "PREFECT_API_URL to a server that workers reach, or take the pool out of dvc.yaml and compute.pools"
            )
        self._say(f"given to pool {self._pool}")
        return self._client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"order": self._order.model_dump()},
            name=self._stage.name,
            tags=["speechalign", self._order.digest],
            idempotency_key=f"{self._order.digest}-{key}",
        ).id

    def _watch(self, run: UUID) -> Report | None:
        """Wait for a flow run's result; None if its worker was lost."""
        self._seen = None
        began = alive = time.monotonic()
        limit = float(os.environ.get(SILENCE) or SILENCE_SECONDS)
        while True:
            before = time.monotonic()
            state, found = self._answered(lambda: self._look(run))
            if time.monotonic() - before > 10 * POLL_SECONDS:
                alive = time.monotonic()  # the server was away, for the worker too
            if found and (self._seen is None or found.beat != self._seen.beat):
                alive = time.monotonic()
                if found.says and (self._seen is None or found.says != self._seen.says):
                    self._show(found.says)
                self._seen = found
            if found and found.how:
                return found
            if state is None or state.type == StateType.CRASHED:
                reason = (state.message if state else "its flow run was deleted") or "no reason given"
                self._lost = secrets.masked(reason.rstrip("."))
                return None
            if state.type in _OVER:  # before the worker could report
                return Report(
                    how=FAILED, message=f"{state.name} on pool {self._pool}: {state.message or 'no reason given'}"
                )
            if state.type in (StateType.SCHEDULED, StateType.PENDING):
                if time.monotonic() - began > PENDING_SECONDS and state.type == StateType.PENDING:
                    self._answered(lambda: self._give_up(run, PENDING_SECONDS))
                    return None
                began = began if state.type == StateType.PENDING else time.monotonic()
                alive = time.monotonic()
                self._say(f"waiting for a worker of pool {self._pool}", again=True)
            elif time.monotonic() - alive > limit:
                self._answered(lambda: self._give_up(run, limit))
                return None
            process.wait(POLL_SECONDS)

    def _give_up(self, run: UUID, seconds: float) -> None:
        self._lost = f"no sign of life for {seconds:g} s"
        lost: State[Any] = Crashed(message=self._lost)
        self._client.set_flow_run_state(run, lost, force=True)

    def _look(self, run: UUID) -> tuple[State[Any] | None, Report | None]:
        try:
            state = self._client.read_flow_run(run).state
        except ObjectNotFound:  # somebody deleted it
            return None, None
        return state, Report.read(self._client, run)

    def _answered(self, ask: Callable[[], Any]) -> Any:
        """Return the server's answer; a server that is away is asked again for an hour."""
        deadline = time.monotonic() + report.AWAY_SECONDS
        while True:
            try:
                return ask()
            except (SpeechAlignError, process.StoppedError):
                raise
            except Exception as error:
                if time.monotonic() > deadline:
                    raise PoolError(f"Prefect's server has not answered for an hour: {error}") from error
                self._say(f"waiting for Prefect's server ({type(error).__name__})", again=True)
            process.wait(2 * POLL_SECONDS)

    def _stop(self, run: UUID) -> None:
        """Tell the worker to stop, if the server can be reached: the flow has seconds to end."""
        try:
            self._client.set_flow_run_state(run, Cancelling(message="the flow ended"))
        except Exception as error:
            self._show(f"its worker could not be told to stop: {error}")

    def _say(self, text: str, again: bool = False) -> None:
        due = time.monotonic() - self._said_at > SAY_SECONDS
        if text != self._said or not again or due:
            self._show(text)
            self._said, self._said_at = text, time.monotonic()
