"""``speechalign layout``: the known layouts, and whether a checkpoint was trained with one.

``check`` scores recordings under the untouched checkpoint in the declared layout and in every near miss. Exit codes: 0,
the declared layout fits best; 1, something cannot be used; 3, a near miss fits better; 4, one cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.common.delimited import delimiter_of, lines_of, rows_of
from tasks.common.files import DataError
from tasks.common.stage import one_message

if TYPE_CHECKING:
    from model.codecs.base import Codec
    from model.layouts.check import Report
    from model.layouts.layout import Layout
    from model.layouts.near_misses import Recording
    from model.layouts.speech import Speech

COLUMNS = ("id", "path", "text", "speaker")
SPEEDS = (0.5, 2 / 3, 1.5, 2.0)  # wrong sample rates: 16 kHz read as 24 or 32, and the reverse
PROMPT_SECONDS = 3.0
BETTER, TIE = 3, 4  # exit codes

app = typer.Typer(add_completion=False, no_args_is_help=True, help="How a model writes text and codes as tokens.")


@app.command("list")
def list_layouts() -> None:
    """List the shipped layouts, with their codec."""
    from model.layouts.spec import FOLDER, read_layout, shipped

    for name in shipped():
        first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        codec = read_layout(name).codec
        print(f"{name:12} {f'{codec.kind}, {codec.frame_rate:g}/s' if codec else 'any codec':22} {first}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="a shipped layout, or a YAML file")]) -> None:
    """Print a layout's file, to copy or to read."""
    from model.layouts.spec import layout_file, read_layout

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

        folder = local_folder(policy)
        declared = Layout.load(layout, folder)
        if declared.spec.word is not None:
            raise DataError(f"layout {layout} has words between the codes, which need alignments; no CSV gives these")
        name = _codec_name(declared, codec)
        check_files(folder)
        rows = _rows(speech)
        coder = load_codec(name, device)
        check_codec(declared, coder, name)
        model = load_causal_lm(folder, declared.tokenizer, device)
        chosen = _recordings(speech, rows, declared, coder, recordings)
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

    spec = declared.spec.codec
    name = published(spec.kind, spec.sample_rate) if spec else None
    if name is None:
        found = f"its codec {spec.kind!r} is in no package here" if spec else "the layout names no codec"
        raise DataError(f"layout {declared.name}: {found}; name a folder of the same codec with --codec")
    return name


def check_codec(declared: Layout, codec: Codec, name: str) -> None:
    """Refuse a codec that does not make the codes that the layout writes.

    Raises:
        DataError: another rate, size, or number of levels.
    """
    tokens, spec = declared.code_tokens, declared.spec.codec
    problems = []
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


def _rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the folder's one CSV file.

    Raises:
        DataError: no such folder, not exactly one CSV, not UTF-8, other columns, or a malformed row.
    """
    tables = sorted(p for p in folder.glob("*.csv") if not p.name.startswith(".")) if folder.is_dir() else []
    if len(tables) != 1:
        raise DataError(f"{folder} should be a folder with one CSV file ({','.join(COLUMNS)}), found {len(tables)}")
    try:
        lines = lines_of(tables[0].read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{tables[0]} is not UTF-8: {error}; save it as UTF-8") from error
    rows = list(rows_of(lines, delimiter_of(lines[0] if lines else ""), len(COLUMNS)))
    header = [cell.lower() for cell in rows[0].cells] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise DataError(f"{tables[0]} should have the columns {', '.join(COLUMNS)}, its first line has {header}")
    if bad := next((row for row in rows if row.problem), None):
        raise DataError(f"{tables[0]} line {bad.line}: {bad.problem}; expected {len(COLUMNS)} fields")
    return [dict(zip(header, row.cells, strict=True)) for row in rows[1:]]


def _recordings(
    folder: Path, rows: Sequence[dict[str, str]], declared: Layout, codec: Codec, wanted: int
) -> list[Recording]:
    """Return recordings spread over the table, each with another of its speaker as voice prompt where there is one."""
    import torch

    from model.audio import resample
    from model.layouts.near_misses import Recording
    from tasks.common.audio import Limits, load
    from tasks.common.rejected import Rejected

    def encode(row: dict[str, str], speeds: Sequence[float], seconds: float | None = None) -> dict[float, Speech]:
        path = (folder / row["path"]).resolve()
        try:
            if not path.is_relative_to(folder.resolve()):
                raise Rejected("path leaves the folder", "a file inside of it", row["path"])
            wave = torch.from_numpy(load(path, codec.encode_rate, Limits(max_seconds=60.0)))
        except Rejected as error:
            raise DataError(f"{folder / row['path']}: {error}; remove the row or repair the file") from error
        wave = wave if seconds is None else wave[: round(seconds * codec.encode_rate)]
        # A wave that is said to have another rate than it has is a recording with a wrong header.
        codes = {s: codec.encode([wave], rate=round(codec.encode_rate * s))[0] for s in speeds}
        at_rate = resample(wave.numpy(), from_rate=codec.encode_rate, to_rate=codec.sample_rate)
        voice = codec.voice_of(torch.from_numpy(at_rate))
        return {s: _speech(codec, declared, found, voice) for s, found in codes.items()}

    by_speaker: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(row)
    step = max(1, len(rows) // wanted)
    found: list[Recording] = []
    for row in rows[::step][:wanted]:
        others = [other for other in by_speaker[row["speaker"]] if other is not row]
        prompt = None
        if True in declared.contexts and others:
            other = others[len(found) % len(others)]
            codes = encode(other, (1.0, *SPEEDS), PROMPT_SECONDS)
            prompt = Recording(other["text"], other["speaker"], codes)
        found.append(Recording(row["text"], row["speaker"], encode(row, (1.0, *SPEEDS)), prompt))
    return found


def _speech(codec: Codec, declared: Layout, codes: object, voice: Sequence[float]) -> Speech:
    """Return whole frames of the levels that the layout writes, and the voice."""
    import torch

    from model.layouts.speech import Speech

    assert isinstance(codes, torch.Tensor)
    levels = codec.levels(codes)[: declared.code_tokens.n_levels]
    return Speech.of(*(level.numpy() for level in levels), globals=voice)


def _print(report: Report, chance: float) -> None:
    """Print the table and what follows; ``chance``: nats per token of one that guesses among a level's codes."""
    width = max(len(row.name) for row in report.rows)
    print(f"layout {report.layout}: {report.nats:.3f} nats per token over {report.recordings} recordings")
    print("declared minus near miss, nats per token with its 95 % interval:")
    for row in report.rows:
        print(f"  {row.name:{width}}  {row.difference:+8.3f} [{row.low:+.3f}, {row.high:+.3f}]  {row.verdict}")
    if report.nats <= chance and (report.better or report.ties):
        print(
            f"the model is no better than a guess among a level's codes ({chance:.3f} nats per token): it was not "
            "trained on this, or text, codes or tokenizer are others. What follows says little"
        )
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
