"""The page: ``templates/page.html.j2`` with its CSS and script inlined, and the values that its sections show."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tasks.common.scores import confirmable
from tasks.report import (
    breakdown,
    decodings,
    examples,
    gap,
    gap_pictures,
    headline,
    held_out,
    numbers,
    preferences,
    provenance,
    results,
    voices,
    words,
)
from tasks.report.load import Inputs

TEMPLATES = Path(__file__).parent / "templates"


def render(inputs: Inputs) -> str:
    """The whole page as one string of HTML. Every value is escaped by the template engine unless it is ``Markup``."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        breakdown=breakdown,
        compare=words.compare,
        decodings=decodings,
        gap=gap,
        gap_pictures=gap_pictures,
        held_out=held_out,
        numbers=numbers,
        preferences=preferences,
        provenance=provenance,
        results=results,
        voices=voices,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    panels = [results.panel(inputs, texts, group) for texts in inputs.sets for group in results.groups(inputs, texts)]
    cards, compressed = examples.cards(inputs)
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        params=inputs.params,
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # Only this one script may run, even if another got into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=headline.headline(inputs),
        confirmable=confirmable(),
        panels=panels,
        largest={found.texts: found.largest for found in panels if found.group == "all"},
        cards=cards,
        compressed=compressed,
        data=Markup(_script_safe(exact(inputs))),
    )


def exact(inputs: Inputs) -> dict[str, Any]:
    """The page's numbers unrounded, for scripts that read the page instead of the runs."""
    return {
        "ceiling": {system: judged.content for system, judged in inputs.ceiling.judged.items()},
        "iterations": {run.name: run.content or None for run in inputs.runs},
    }


def _script_safe(content: Any) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(content, sort_keys=True).replace("<", "\\u003c").replace("&", "\\u0026")
