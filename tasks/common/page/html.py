"""Templates to one self-contained page: everything inlined, everything escaped, no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tasks.common.page import numbers, words

SHARED = Path(__file__).parent / "templates"


def environment(folder: Path) -> jinja2.Environment:
    """Return templates of ``folder`` and the shared ones, with ``compare`` and ``numbers`` as globals.

    Every value is escaped unless it is ``Markup``.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(compare=words.compare, numbers=numbers)
    return made


def sealed() -> dict[str, Any]:
    """Return style, script and the script's digest: no other script may run, even if one got into the page."""
    script = (SHARED / "page.js").read_text(encoding="utf-8")
    return {
        "style": Markup((SHARED / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def script_safe(content: Any) -> Markup:
    """Return JSON that cannot end its script element."""
    return Markup(json.dumps(content, sort_keys=True).replace("<", "\\u003c").replace("&", "\\u0026"))
