"""Stage ``register``: every iteration's policy as a model version, and the gate. ``python -m tasks.register``

The alias ``candidate`` names the last iteration. ``champion`` moves only through :mod:`tasks.common.gate`, which
decides on dev, each policy at its own best decoding. A version carries this decoding.

A policy that already is a version is not registered again, and its decision stands until its evaluation or the gate's
rules change: running the stage twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from tasks.common import digests, gate, paths, runtime, tracking
from tasks.common.files import DataError, write_json
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.tracking.client import connect, failures
from tasks.common.tracking.place import registry_alone
from tasks.register import champion as champions
from tasks.register import versions
from tasks.register.decisions import BASIS, CANDIDATE, CHAMPION, DECISION, was_champion

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def iterations_of(params: Params) -> list[str]:
    """Iterations to register, in order: those evaluated. A loop that stopped early has fewer than params.yaml.

    Raises:
        DataError: the start policy has not been evaluated, or an iteration is missing between two others.
    """
    planned = ["0", *params.iterations]
    done = [key for key in planned if paths.metrics(key).is_file()]
    if done != planned[: len(done)] or not done:
        missing = [key for key in planned if key not in done]
        raise DataError(f"iterations {missing} have no metrics.json; run `dvc repro` (or the flow) up to evaluate")
    return done


def rules_of(params: Params) -> dict[str, float]:
    """The gate's limits, and how its intervals are made."""
    return asdict(gate.limits_of(params))


def register(params: Params, device: torch.device) -> dict[str, Any]:
    """Register what is new, let the gate decide, move the aliases; returns the content of the stage's output.

    Raises:
        DataError: dev was not sampled, or an iteration was not evaluated.
    """
    if not params.evaluate.dev_draws:
        raise DataError("evaluate.dev_draws is 0, so the gate has nothing to decide on; set it to 4 and evaluate again")
    loop = [versions.candidate_of(key, params) for key in iterations_of(params)]
    client, name = connect(), params.register_.model_name
    known = {v.tags.get(versions.DIGEST): v for v in versions.all_versions(client, name)}
    report = []
    for candidate in loop:
        version = known.get(candidate.digest)
        if version is None:
            print(f"register: iteration {candidate.iteration} as a new version of {name}", flush=True)
            ids = tracking.read(candidate.iteration)
            with tracking.resume(ids, candidate.iteration) as run:
                version = versions.log_version(client, name, candidate, run.run_id, params)
            known[candidate.digest] = version
        decision = _decide(client, version, candidate, loop, params, device)
        report.append(
            {
                "iteration": candidate.iteration,
                "version": int(version.version),
                versions.DIGEST: candidate.digest,
                "run_id": version.run_id,
                **decision,
            }
        )
        verdict = "champion" if decision["promoted"] else decision["verdict"]
        print(f"register: iteration {candidate.iteration}, version {version.version}: {verdict}: {decision['reason']}")
    with failures():
        client.set_registered_model_alias(name, CANDIDATE, str(report[-1]["version"]))
    now = _champion(client, name)
    return {
        "model": name,
        "champion": int(now.version) if now else None,
        "candidate": report[-1]["version"],
        "rules": rules_of(params),
        "versions": report,
    }


def _decide(
    client: MlflowClient,
    version: ModelVersion,
    candidate: versions.Candidate,
    loop: list[versions.Candidate],
    params: Params,
    device: torch.device,
) -> dict[str, Any]:
    """The stored decision on a version, or a new one, which moves the alias if it is good."""
    champion = _champion(client, version.name)
    basis = _basis(candidate, params)
    older = champion is not None and int(version.version) <= int(champion.version)
    # An older version never takes the title back by itself: it had its turn, and newer ones were not worse.
    if champion and DECISION in version.tags and (older or version.tags.get(BASIS) == basis):
        return json.loads(version.tags[DECISION])
    rows = champions.rows_of(champion, candidate, loop, params, device) if champion else None
    start = None if candidate is loop[0] else loop[0].rows
    present = {version.version, champion.version if champion else None}
    earlier = [v for v in versions.all_versions(client, version.name) if was_champion(v) and v.version not in present]
    tables = [champions.known_rows(v, candidate, loop, params) for v in earlier]
    former = [table for table in tables if table is not None and table is not start]
    limits = gate.limits_of(params)
    decision = gate.decide(candidate.rows, limits, champion=rows, start=start, former=former).as_dict()
    decision["champion_before"] = int(champion.version) if champion else None
    with failures():
        if decision["promoted"]:
            client.set_registered_model_alias(version.name, CHAMPION, version.version)
        client.set_model_version_tag(version.name, version.version, DECISION, json.dumps(decision))
        client.set_model_version_tag(version.name, version.version, BASIS, basis)
    return decision


def _basis(candidate: versions.Candidate, params: Params) -> str:
    """Digest of what a decision rests on besides the champion."""
    tables = [digests.md5(paths.dev(key)) for key in ("0", candidate.iteration)]
    content = [*tables, params.models.recognizer, rules_of(params)]
    return hashlib.md5(json.dumps(content, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    model = versions.registered(client, name)
    if model is None or CHAMPION not in model.aliases:
        return None
    with failures():
        return client.get_model_version(name, model.aliases[CHAMPION])


@stage
def main() -> None:
    """Register every iteration's policy; move `champion` if the gate allows it."""
    params, device = runtime.start()
    with registry_alone():
        report = register(params, device)
    write_json(paths.REGISTRATION, report)
    champion = report["champion"]
    is_now = "is no version: none has passed the gate" if champion is None else f"is version {champion}"
    print(f"register: {report['model']}@champion {is_now}")


if __name__ == "__main__":
    typer.run(main)
