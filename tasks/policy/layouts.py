"""``speechalign layout``: the known layouts, and whether a checkpoint was trained with one.

``check`` scores recordings under the untouched checkpoint in the declared layout and in every near miss. Exit codes: 0,
the declared layout fits best; 1, something cannot be used; 3, a near miss fits better; 4, one cannot be told apart.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.common.files import DataError
from tasks.common.stage import one_message

if TYPE_CHECKING:
    from model.codecs.base import Codec
    from model.layouts.check import Report
    from model.layouts.layout import Layout

BETTER, TIE = 3, 4  # exit codes

app = typer.Typer(add_completion=False, no_args_is_help=True, help="How a model writes text and codes as tokens.")


@app.command("list")
def list_layouts(
    codecs: Annotated[bool, typer.Option("--codecs", help="list what codec.kind of a layout may be instead")] = False,
) -> None:
    """List the shipped layouts with their codec, or the codecs that a layout may name."""
    from model.layouts.files import FOLDER, read_layout, shipped

    if codecs:
        from model.codecs.kinds import described

        print("\n".join(described()))
        return
    for name in shipped():
        first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        codec = read_layout(name).codec
        print(f"{name:12} {f'{codec.kind}, {codec.frame_rate:g}/s' if codec else 'any codec':22} {first}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="a shipped layout, or a YAML file")]) -> None:
    """Print a layout's file, to copy or to read."""
    from model.layouts.files import layout_file, read_layout

    with one_message():
        read_layout(name)
        print(layout_file(name).read_text(encoding="utf-8"), end="")


@app.command()
def check(
    policy: Annotated[str, typer.Option(help="the checkpoint: a Hugging Face folder, or ORG/NAME on the Hub")],
    layout: Annotated[str, typer.Option(help="a shipped layout (see `list`), or a YAML file")],
    speech: Annotated[Path, typer.Option(help="folder with recordings and a CSV: id,path,text,speaker")],
    codec: Annotated[str | None, typer.Option(help="folder or published name, by default the layout's codec")] = None,
    recordings: Annotated[int, typer.Option(min=8, help="how many to score")] = 32,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    allow_ties: Annotated[bool, typer.Option(help="accept near misses that cannot be told apart")] = False,
) -> None:
    """Check that a checkpoint was trained with a layout: real speech must be likelier than in any near miss."""
    with one_message():
        from model.codecs.registry import load_codec
        from model.layouts.check import check_layout
        from model.layouts.checkpoint import check_files, load_causal_lm
        from model.layouts.hub import local_folder
        from model.layouts.layout import Layout
        from tasks.policy.recordings import encode_recordings, read_rows

        folder = local_folder(policy)
        declared = Layout.load(layout, folder)
        if declared.spec.word is not None:
            raise DataError(f"layout {layout} has words between the codes, which need alignments; no CSV gives these")
        name = _codec_name(declared, codec)
        check_files(folder)
        rows = read_rows(speech)
        coder = load_codec(name, device)
        check_codec(declared, coder, name)
        model = load_causal_lm(folder, declared.tokenizer, device)
        chosen = encode_recordings(speech, rows, declared, coder, recordings)
        report = check_layout(model, declared, chosen)
    _print(report, chance=-math.log(declared.code_tokens.size))
    if report.better:
        raise typer.Exit(BETTER)
    if report.ties and not allow_ties:
        raise typer.Exit(TIE)


def _codec_name(declared: Layout, codec: str | None) -> str:
    if codec is not None:
        return codec
    from model.codecs.facts import published
    from model.codecs.kinds import check_kind

    spec = declared.spec.codec
    if spec is None:
        raise DataError(f"layout {declared.name} names no codec; name a folder or published codec with --codec")
    check_kind(spec.kind, f"layout {declared.name}")
    name = published(spec.kind, spec.sample_rate)
    if name is None:
        raise DataError(f"layout {declared.name}: no {spec.kind} is published; name a folder of one with --codec")
    return name


def check_codec(declared: Layout, codec: Codec, name: str) -> None:
    """Refuse a codec that does not make the codes that the layout writes.

    Raises:
        DataError: another kind, rate, size, or number of levels.
    """
    from model.codecs.facts import codec_facts
    from model.codecs.kinds import layout_kind

    tokens, spec = declared.code_tokens, declared.spec.codec
    problems = []
    if spec and (kind := layout_kind(codec_facts(name).kind)) != spec.kind:
        problems.append(f"codes of {kind}, the layout says {spec.kind}")
    if spec and (spec.sample_rate, round(spec.frame_rate, 3)) != (codec.encode_rate, round(codec.frame_rate, 3)):
        problems.append(
            f"{codec.encode_rate} Hz and {codec.frame_rate:g} frames/s, the layout says {spec.sample_rate} Hz and "
            f"{spec.frame_rate:g}"
        )
    if tokens.size != codec.codebook_size:
        problems.append(f"{codec.codebook_size} codes per level, the layout has {tokens.size}")
    per_frame = (codec.codes_per_frame or (1,) * codec.n_codebooks)[: tokens.n_levels]
    if per_frame != tokens.per_frame:
        problems.append(f"{per_frame} codes of each level per frame, the layout has {tokens.per_frame}")
    if declared.spec.globals is not None and not codec.takes_voice:
        problems.append(f"no voice, of which the layout writes {declared.spec.globals.count} codes")
    if problems:
        raise DataError(f"the codec {name} does not fit layout {declared.name}: it has {'; '.join(problems)}")


def _print(report: Report, chance: float) -> None:
    """Print the table and what follows; ``chance``: nats per token of one that guesses among a level's codes."""
    width = max(len(row.name) for row in report.rows)
    print(f"layout {report.layout}: {report.nats:.3f} nats per token over {report.recordings} recordings")
    print("declared minus near miss, nats per token with its 95 % interval:")
    for row in report.rows:
        print(f"  {row.name:{width}}  {row.difference:+8.3f} [{row.low:+.3f}, {row.high:+.3f}]  {row.verdict}")
    for miss in report.not_tried:
        print(f"  not tried: {miss.name} ({miss.reason})")
    if report.nats <= chance and (report.better or report.ties):
        print(
            f"the model is no better than a guess among a level's codes ({chance:.3f} nats per token): it was not "
            "trained on this, or text, codes or tokenizer are others. What follows says little"
        )
    for row in report.notes:
        print(f"note: {row.name} is not worse: {row.hint}")
    if report.better:
        best = report.better[0]
        print(f"refused: {best.name} fits best. Change the layout: {best.hint}")
    elif report.ties:
        names = ", ".join(row.name for row in report.ties)
        print(
            f"not shown to fit: {names} cannot be told apart from the declared layout. Take more or longer recordings; "
            "if the model does not depend on it, --allow-ties"
        )
    else:
        print("the declared layout fits best")


if __name__ == "__main__":
    app()
