"""The page: ``templates/page.html.j2`` with its CSS and script inlined, and the values that its sections show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.common.page.html import environment, script_safe, sealed
from tasks.common.scores import confirmable
from tasks.report import (
    breakdown,
    decodings,
    examples,
    gap,
    gap_pictures,
    headline,
    held_out,
    preferences,
    provenance,
    results,
    voices,
)
from tasks.report.load import Inputs

TEMPLATES = Path(__file__).parent / "templates"


def render(inputs: Inputs) -> str:
    """The whole page as one string of HTML. Every value is escaped by the template engine unless it is ``Markup``."""
    templates = environment(TEMPLATES)
    templates.globals.update(
        breakdown=breakdown,
        decodings=decodings,
        gap=gap,
        gap_pictures=gap_pictures,
        held_out=held_out,
        preferences=preferences,
        provenance=provenance,
        results=results,
        voices=voices,
    )
    panels = [results.panel(inputs, texts, group) for texts in inputs.sets for group in results.groups(inputs, texts)]
    cards, compressed = examples.cards(inputs)
    return templates.get_template("page.html.j2").render(
        inputs=inputs,
        params=inputs.params,
        **sealed(),
        headline=headline.headline(inputs),
        confirmable=confirmable(),
        panels=panels,
        largest={found.texts: found.largest for found in panels if found.group == "all"},
        cards=cards,
        compressed=compressed,
        data=script_safe(exact(inputs)),
    )


def exact(inputs: Inputs) -> dict[str, Any]:
    """The page's numbers unrounded, for scripts that read the page instead of the runs."""
    return {
        "ceiling": {system: judged.content for system, judged in inputs.ceiling.judged.items()},
        "iterations": {run.name: run.content or None for run in inputs.runs},
    }
