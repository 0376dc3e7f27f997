"""Ship the trained models: ``python -m bootstrap.export [codec] [whisper] [policy]``, all three by default.

Each goes to its folder of ``checkpoints/`` in half precision, with a model card of the numbers that were measured
(``<work>/measure.json``; the policy's are measured here). The copies are checked first: if halving changed the codes,
the transcripts or the losses of held-out speech, the export is refused and the old folders stay.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import torch
import typer

from bootstrap import cards, start_policy
from bootstrap.measure import load_split
from bootstrap.start_policy import StartPolicy
from model.codecs import encodec
from model.codecs.registry import load_codec
from model.errors import InputError
from model.judges import asr
from tasks.common import yaml12
from tasks.common.files import atomic_path
from tasks.common.stage import one_message

PARTS = ("codec", "whisper", "policy")
BUDGET_BYTES = 23 * 2**20  # of all checkpoints together: they live in the repository
CHECKED = 50  # utterances on which the halved models must agree with the full ones
MIN_CODEC_AGREEMENT = 0.99  # share of codes: a value halfway between two entries may fall to either side


def check_codec(waves: list[torch.Tensor], full: Path, halved: Path) -> str:
    """Check that the halved codec writes the same codes; return a line that says how closely.

    Raises:
        InputError: it does not.
    """
    before, after = (load_codec(str(folder)).encode(waves) for folder in (full, halved))
    same = torch.cat([(a == b)[0] for a, b in zip(before, after, strict=True)]).float().mean().item()
    if same < MIN_CODEC_AGREEMENT:
        raise InputError(f"in half precision only {same:.1%} of the codec's level-1 codes stay: export it in float32")
    return f"{same:.2%} of level-1 codes stay"


def check_recognizer(waves: list[torch.Tensor], full: Path, halved: Path) -> str:
    """Check that the halved recognizer transcribes alike; return a line that says so.

    Raises:
        InputError: it does not.
    """
    before, after = (asr.transcribe(asr.load_recognizer(folder), waves) for folder in (full, halved))
    if before != after:
        changed = sum(a != b for a, b in zip(before, after, strict=True))
        raise InputError(f"in half precision {changed} of {len(waves)} transcripts change: export it in float32")
    return "every checked transcript stays"


def size_together(out: Path, halved: dict[str, Path]) -> int:
    """Return the bytes of all weights in ``out`` once the ``halved`` folders have replaced those of their names.

    Raises:
        InputError: more than ``BUDGET_BYTES``.
    """
    replaced = [*(out / part for part in halved), *halved.values()]
    others = [f for f in out.rglob("*.safetensors") if not any(f.is_relative_to(folder) for folder in replaced)]
    files = [*others, *(file for folder in halved.values() for file in folder.rglob("*.safetensors"))]
    size = sum(f.stat().st_size for f in files)
    if size > BUDGET_BYTES:
        raise InputError(f"the checkpoints take {size / 2**20:.1f} MiB together, over {BUDGET_BYTES / 2**20:.0f} MiB")
    return size


@one_message()
def main(
    parts: Annotated[list[str] | None, typer.Argument(help="codec, whisper, policy; all without any")] = None,
    params_file: Path = Path("bootstrap/params.yaml"),
    work: Path = Path("bootstrap/work"),
    codec: Annotated[Path | None, typer.Option(help="the one that was measured; <work>/codec_final")] = None,
    recognizer: Annotated[Path | None, typer.Option(help="the one that was measured; <work>/whisper")] = None,
    loop: Annotated[Path | None, typer.Option(help="folder with params.yaml, runs/0, data/codes; <work>/loop")] = None,
    out: Path = Path("checkpoints"),
) -> None:
    """Export the models to folders of checkpoints/: all of them, or those named."""
    chosen = parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"there is no part {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    params = yaml12.loads(params_file.read_text())
    torch.set_num_threads(params["recognizer"]["threads"])
    codec, recognizer = codec or work / "codec_final", recognizer or work / "whisper"
    loop = loop or work / "loop"
    speech, notes = work / "data" / "train.npz", []
    with ExitStack() as whole:  # all are checked before any replaces its folder
        halved = {part: whole.enter_context(atomic_path(out / part)) for part in PARTS if part in chosen}
        if "policy" not in chosen or len(chosen) > 1:
            measured = json.loads((work / "measure.json").read_text())
            waves = load_split(work / "data" / "test.npz")[0][:CHECKED]
        if "codec" in halved:
            model = encodec.load_model(str(codec))
            encodec.save(model, encodec.read_config(codec), halved["codec"], torch.float16)
            notes.append(check_codec(waves, codec, halved["codec"]))
            card = cards.codec_card(speech, params, measured, model)
            (halved["codec"] / "README.md").write_text(card)
        if "whisper" in halved:
            judge = asr.load_recognizer(recognizer)
            asr.save(judge, halved["whisper"], torch.float16)
            notes.append(check_recognizer(waves, recognizer, halved["whisper"]))
            card = cards.recognizer_card(speech, params, measured, judge)
            (halved["whisper"] / "README.md").write_text(card)
        if "policy" in halved:
            folder = halved["policy"]
            start_policy.halve(loop, folder, halved.get("codec", out / "codec"))
            full = start_policy.measure(StartPolicy.of_loop(loop), loop)
            found = start_policy.measure(StartPolicy.of(folder), loop)
            notes.append(start_policy.check_halved(full, found))
            (folder / "README.md").write_text(cards.policy_card(start_policy.settings(loop), found))
        size = size_together(out, halved)
    print(f"{size / 2**20:.1f} MiB; in half precision {'; '.join(notes)}")


if __name__ == "__main__":
    typer.run(main)
