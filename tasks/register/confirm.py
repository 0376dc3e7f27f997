"""Confirm a new champion on fresh draws, or give the title back. ``python -m tasks.register.confirm --version 3``

The gate chose the champion among several candidates on one set of draws, and the winner of a choice looks better than
it is. Here it is sampled again, and so is the champion before it, with seeds and voice prompts that have decided
nothing. Where the gate then finds a loss, the alias goes back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasks.common import gate, runtime
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.stage import stage
from tasks.common.tracking.client import connect, patiently
from tasks.common.tracking.place import registry_alone
from tasks.register import champion as champions
from tasks.register import versions
from tasks.register.decisions import CHAMPION, DECISION, was_champion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CONFIRMED = "confirmed"  # tag: what fresh draws showed
ROLLED_BACK = "rolled back"
FRESH = 7_919  # added to the seed of params.yaml
Rows = list[dict[str, Any]]
Evaluate = Callable[["ModelVersion", Params], Rows]


def confirm(client: MlflowClient, version: str, params: Params, evaluate: Evaluate) -> dict[str, Any]:
    """Compare the champion with the one before it on fresh draws; move the alias back if the gate finds a loss.

    A version is confirmed once. Returns the finding, which its tag ``confirmed`` holds.

    Args:
        evaluate: judges a version on dev by the seed of the settings it is given.

    Raises:
        DataError: there is no such version.
    """
    name = params.register_.model_name
    known = {str(found.version): found for found in versions.all_versions(client, name)}
    if version not in known:
        raise DataError(f"{name} has no version {version}; its versions are: {', '.join(known) or 'none'}")
    model = versions.registered(client, name)
    if model is None or str(model.aliases.get(CHAMPION)) != version:
        return {"outcome": "no longer champion", "version": int(version)}
    new = known[version]
    if CONFIRMED in new.tags:
        found = json.loads(new.tags[CONFIRMED])
        if found["outcome"] == ROLLED_BACK:  # a kill kept the alias from moving, or a person moved it again
            _give_back(client, new, found)
        return found
    if _got_the_title_back(new, known.values()):
        return {"outcome": "had the title before", "version": int(version)}
    former = before(new, known)
    if former is None:
        return _note(client, new, {"outcome": "nothing before it", "version": int(version)})
    fresh = params.model_copy(update={"seed": params.seed + FRESH})
    # As a start: the gain was decided on already, and no loss may show now.
    decision = gate.decide(evaluate(new, fresh), gate.limits_of(fresh), start=evaluate(former, fresh))
    found = {
        "outcome": "confirmed" if decision.promoted else ROLLED_BACK,
        "version": int(version),
        "against": int(former.version),
        "seed": fresh.seed,
        **decision.as_dict(),
    }
    _note(client, new, found)
    if not decision.promoted:
        _give_back(client, new, found)
    return found


def _give_back(client: MlflowClient, new: ModelVersion, found: dict[str, Any]) -> None:
    """Move the alias to the champion before, unless it has moved meanwhile, and let the stored decision say why."""

    def move() -> None:
        if str(client.get_registered_model(new.name).aliases.get(CHAMPION)) != str(new.version):
            return
        if DECISION in new.tags:
            stored = {**json.loads(new.tags[DECISION]), "promoted": False, "verdict": "refused"}
            stored["reason"] = f"on fresh draws: {found['reason']}"
            client.set_model_version_tag(new.name, new.version, DECISION, json.dumps(stored))
        client.set_registered_model_alias(new.name, CHAMPION, str(found["against"]))

    patiently(move)  # minutes of judging are behind it


def before(new: ModelVersion, known: dict[str, ModelVersion]) -> ModelVersion | None:
    """Return the champion before a version: by the gate's decision on it, or the newest other one that ever was."""
    decided = json.loads(new.tags[DECISION]).get("champion_before") if DECISION in new.tags else None
    if decided is not None and str(decided) in known:
        return known[str(decided)]
    others = [found for found in known.values() if found.version != new.version and was_champion(found)]
    return max(others, key=lambda found: int(found.version), default=None)


def _got_the_title_back(version: ModelVersion, known: Any) -> bool:
    findings = [json.loads(found.tags[CONFIRMED]) for found in known if CONFIRMED in found.tags]
    return any(f["outcome"] == ROLLED_BACK and f["against"] == int(version.version) for f in findings)


def _note(client: MlflowClient, version: ModelVersion, found: dict[str, Any]) -> dict[str, Any]:
    patiently(lambda: client.set_model_version_tag(version.name, version.version, CONFIRMED, json.dumps(found)))
    return found


@stage
def main(
    version: Annotated[str, typer.Option(help="version of the registered model that has become champion")],
) -> None:
    """Confirm the champion on fresh draws, or give the title back."""
    params, device = runtime.start()

    def evaluate(found: ModelVersion, settings: Params) -> Rows:
        return champions.evaluate_again(found, settings, device)

    with registry_alone():
        result = confirm(connect(), version, params, evaluate)
    against = f", against version {result['against']}" if "against" in result else ""
    reason = f": {result['reason']}" if "reason" in result else ""
    print(f"confirm: version {version}{against}: {result['outcome']}{reason}")


if __name__ == "__main__":
    typer.run(main)
