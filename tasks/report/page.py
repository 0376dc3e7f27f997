"""The page: the parts in reading order, put into ``templates/page.html.j2`` with its CSS and script inlined."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tasks.common.scores import by_judge, confirmable, to_json
from tasks.report import breakdown, gap, headline, held_out, numbers, preferences, provenance, results
from tasks.report import examples as listening
from tasks.report.load import Inputs, Judged

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("torch", "transformers", "encodec", "openai-whisper", "resemblyzer", "accelerate", "lhotse", "jiwer", "dvc")


def render(inputs: Inputs, chosen: list, advance: Callable[[], None]) -> str:
    """The whole page as one string of HTML. Every value is escaped by the template engine unless it is ``Markup``.

    Args:
        chosen: from :func:`tasks.report.examples.sources`.
        advance: called after each utterance whose audio was read.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(numbers=numbers, interval_picture=results.interval_picture, title=results.title)
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    cards, compressed = listening.cards(chosen, advance)
    speaker_titles, speakers = breakdown.speakers(inputs)
    last_title, improved, worsened, tally = breakdown.changes(inputs)
    groups = results.groups(inputs)
    paired = {group: results.differences(inputs, group) for group in groups}
    furthest = {
        group: results.largest_differences(scores for runs in found.values() for scores in runs.values())
        for group, found in paired.items()
    }
    return environment.get_template("page.html.j2").render(
        inputs=inputs,
        params=inputs.params,
        style=Markup(style),
        script=Markup(script),
        # Only this one script may run, even if another got into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=headline.headline(inputs),
        metrics=by_judge(held_out=False),
        groups=groups,
        group_titles=results.GROUP_TITLES,
        rows=results.rows(inputs),
        chart=lambda metric, group: results.metric_chart(inputs, metric, group),
        paired=paired,
        largest=furthest,
        held_out={
            "measured": held_out.measured(inputs),
            "metrics": by_judge(held_out=True),
            "pairs": confirmable(),
            "others": held_out.unpaired(),
            "rows": held_out.rows(inputs),
            "alarms": held_out.alarms(inputs),
        },
        gap=gap.context(inputs),
        pair_headings=preferences.HEADINGS,
        pair_rows=preferences.statistics(inputs),
        pair_reasons=preferences.reasons(inputs),
        pair_figures=preferences.figures(inputs),
        cards=cards,
        compressed=compressed,
        speaker_titles=speaker_titles,
        speakers=speakers,
        last_title=last_title,
        improved=improved,
        worsened=worsened,
        tally=tally,
        environments=provenance.environments(inputs),
        versions=versions(),
        seeds=_seeds(inputs),
        judges=_judges(inputs),
        data=Markup(_script_safe(exact(inputs))),
    )


def versions() -> list[tuple[str, str]]:
    """Python and the packages that the numbers depend on, as installed where the page is made."""
    found = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _seeds(inputs: Inputs) -> list[tuple[str, str]]:
    test = {row["seed"] for run in inputs.runs for row in run.utterances}
    own = "one per utterance, from the loop's seed and the id" if len(test) > 1 else str(*test)
    return [("of the whole loop", str(inputs.params.seed)), *([("of the test samples", own)] if test else [])]


def _judges(inputs: Inputs) -> list[tuple[str, str]]:
    """Digests in the pairs: of the judge and of the checkpoint that was sampled."""
    found = []
    for run in inputs.runs:
        for column in ("judge", "policy"):
            names = sorted({str(pair[column]) for pair in run.pairs or [] if pair["iteration"] == run.name})
            found += [(f"iteration {run.name}, {'sampled policy' if column == 'policy' else column}", n) for n in names]
    return found


def exact(inputs: Inputs) -> dict[str, Any]:
    """The page's numbers unrounded, for scripts that read the page instead of the runs."""
    ceiling = {system: _plain(judged) for system, judged in inputs.ceiling.judged.items()}
    runs = {run.name: _plain(run.judged) if run.judged else None for run in inputs.runs}
    return {"ceiling": ceiling, "iterations": runs}


def _plain(judged: Judged) -> dict[str, Any]:
    counts = {"utterances": judged.utterances, "failed": judged.failed, "cut_off": judged.cut_off}
    groups = {name: to_json(found) for name, found in judged.groups.items()}
    differences = {"versus_sft": to_json(judged.versus_sft), "versus_previous": to_json(judged.versus_previous)}
    return {**counts, **groups, **differences}


def _script_safe(content: Any) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(content, sort_keys=True).replace("<", "\\u003c").replace("&", "\\u0026")
