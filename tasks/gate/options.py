"""Options that several commands of the gate have, written down once."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from tasks.gate.margins import Margins

MEASURES = ", ".join(field.name for field in fields(Margins))
Texts = Annotated[str, typer.Option(help="the texts: CSV with id and text, meta.lst, .trans.txt, or a folder of these")]
Margin = Annotated[
    list[str] | None, typer.Option(help=f"allowed loss, such as mos=0.05, of {MEASURES}; may be repeated")
]
Prompts = Annotated[str | None, typer.Option(help="folder of voice prompts, named after the text or its speaker")]
JUDGES, INTERVALS = "Judges", "Intervals"  # panels of --help
Recognizer = Annotated[str, typer.Option(help="Whisper: a published name or a folder", rich_help_panel=JUDGES)]
Second = Annotated[
    str,
    typer.Option(help="pocketsphinx, a CTC model of transformers (folder or name), or none", rich_help_panel=JUDGES),
]
Voice = Annotated[
    str,
    typer.Option(help="second measure of voice: an x-vector model of transformers, or none", rich_help_panel=JUDGES),
]
Mos = Annotated[bool, typer.Option(help="predict MOS (DNSMOS P.808)", rich_help_panel=JUDGES)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda", rich_help_panel=JUDGES)]
Resamples = Annotated[int, typer.Option(min=1000, max=100_000, help="of the bootstrap", rich_help_panel=INTERVALS)]
Seed = Annotated[int, typer.Option(min=0, help="of the bootstrap", rich_help_panel=INTERVALS)]
