"""Ship the trained models: ``python -m bootstrap.export``.

It copies ``<work>/codec`` and ``<work>/whisper`` to ``<out>/codec`` and ``<out>/whisper`` in half precision. Each copy
gets a model card with the numbers of ``<work>/measure.json``. The copies are checked first: if halving changed
codes or transcripts of held-out speech, the export is refused and the old folders stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import typer
import yaml
from encodec import EncodecModel
from whisper.model import Whisper

from bootstrap.measure import load_split
from model.codecs import encodec
from model.codecs.registry import load_codec
from model.errors import InputError
from model.judges import asr
from tasks.common.files import atomic_path
from tasks.common.stage import one_message

BUDGET_BYTES = 20 * 2**20  # of all checkpoints together: they live in the repository
CHECKED = 50  # utterances on which the halved models must agree with the full ones
MIN_CODEC_AGREEMENT = 0.99  # share of codes: a value halfway between two entries may fall to either side

CODEC_CARD = """# Codec: a small EnCodec for synthetic spoken digits

An `encodec.EncodecModel` at 16 kHz: {frame_rate:.0f} frames per second, {n_codebooks} codebooks of {codebook_size}
entries, {parameters:.2f} M parameters, half precision. `config.json` holds its shape; load it with
`model.codecs.registry.load_codec("<this folder>")`.

## Data

{train_utterances} utterances ({train_minutes:.0f} min) of digit strings by {train_voices} voices of the espeak-ng
formant synthesizer. No human was recorded.

## Recipe

`bootstrap/train_codec.py`, no discriminator, one CPU thread, {codec_batch} crops of {crop_seconds} s per step: first
{codec_steps} steps on all voices with log-mel (three scales), waveform and commitment losses at {codec_lr}, then
{refined_steps} steps without the waveform loss and with linear magnitudes (spectral convergence) instead, on all
voices but {refined_without}, and {final_steps} more without
{left_out}. The shipped weights come from these settings through an
interrupted run (level 1 had collapsed to six codes by step 13,000 and was initialized again by k-means),
so a rerun repeats the recipe, not the bits.
`dvc repro bootstrap/dvc.yaml` makes it again.

## Measured

Texts are not in the training data. {voices} voices are, and {unseen_voices} are not. Brackets hold 95 % intervals
by bootstrap over utterances. PocketSphinx transcribes with a digit grammar; Resemblyzer compares
the resynthesis with the original.

| | seen voices | unseen voices |
|---|---|---|
| PocketSphinx WER, original | {wer_original} | {unseen_wer_original} |
| PocketSphinx WER, resynthesis | {wer_resynthesis} | {unseen_wer_resynthesis} |
| difference | {wer_difference} | {unseen_wer_difference} |
| Resemblyzer similarity to the original | {similarity} | {unseen_similarity} |
| the same, worst voice | {worst} | {unseen_worst} |

The voices left out at the end ({left_out}) score worse: similarity {left_out_similarity}.

## Limits and use

Made to run this project's loop anywhere, offline: it knows formant-synthesized digits and nothing else. It distorts
human speech, other words, noise and music. For those, load a published EnCodec by name, or train one with
`bootstrap/`. Same license as the code. It was trained on espeak-ng's output (GPL-3.0) and contains no part of it.
"""

WHISPER_CARD = """# Recognizer: a small Whisper for spoken digits

A `whisper.model.Whisper` of width {width}, {layers} + {layers} layers, {context:.0f} s of context, with Whisper's own
tokenizer and vocabulary of 51,864 (all but 13 rows are zero), half precision. `config.json` holds its dimensions; load
it with `model.judges.asr.load_recognizer("<this folder>")` and it works with `whisper.decode`.

## Data

{train_utterances} utterances ({train_minutes:.0f} min) of digit strings by {train_voices} espeak-ng voices, golden and
resynthesized by this project's codec (with all its codebooks, and with the first two).

## Recipe

The resynthesized part came from a state of the codec before its later training; the numbers below are for the
shipped codec. `bootstrap/train_recognizer.py`: {golden_steps} steps on golden speech with a CTC loss in addition to
Whisper's own, then {steps} steps on {pools}.
Batches of {batch} windows of one to four utterances, AdamW, one CPU thread. Gain, speed (±{speed:.0%}), silence and
noise vary; {empty:.0%} of the windows hold noise or nothing, and their text is empty.
`dvc repro bootstrap/dvc.yaml` makes it again.

## Measured

Word error rate (one word per digit, micro-averaged) on texts outside the training data, with 95 % intervals:

| | golden | resynthesized |
|---|---|---|
| {train_voices} training voices | {wer_golden} | {wer_copy} |
| {unseen_voices} unseen voices | {unseen_wer_golden} | {unseen_wer_copy} |

## Limits and use

A judge for this project's embedded default, nothing more. It can only write the ten digits, so other speech becomes
digits or silence. It was trained on the codec's output, so it tolerates the codec's artifacts more than a person would;
PocketSphinx (`model/judges/grammar.py`) is the second judge. Audio longer than its context is cut at a quiet point. For
real speech load a published Whisper by name. Same license as the code.
"""


def with_interval(value: dict, digits: int = 2, percent: bool = True) -> str:
    """Return ``"0.43 % [0.21, 0.69]"`` for a measurement, without the interval if it has none."""
    scale, unit = (100, " %") if percent else (1, "")
    text = f"{value['value'] * scale:.{digits}f}{unit}"
    if "low" in value:
        text += f" [{value['low'] * scale:.{digits}f}, {value['high'] * scale:.{digits}f}]"
    return text


def facts(work: Path, params: dict, measured: dict, codec: EncodecModel, judge: Whisper) -> dict:
    """Return everything that the cards name."""
    waves, _, voices = load_split(work / "data" / "train.npz")
    fields = {
        "train_utterances": f"{len(waves):,}",
        "train_minutes": sum(map(len, waves)) / asr.SAMPLE_RATE / 60,
        "train_voices": len(set(voices)),
        "frame_rate": codec.frame_rate,
        "n_codebooks": len(codec.quantizer.vq.layers),
        "codebook_size": codec.quantizer.bins,
        "parameters": sum(p.numel() for p in codec.parameters()) / 1e6,
        "codec_steps": f"{params['codec']['max_steps']:,}",
        "refined_steps": f"{params['codec_refined']['max_steps']:,}",
        "refined_without": ", ".join(params["codec_refined"]["skip_voices"]),
        "final_steps": f"{params['codec_final']['max_steps']:,}",
        "left_out": ", ".join(params["codec_final"]["skip_voices"]),
        "left_out_similarity": with_interval(
            measured["codec_left_out_voices"]["similarity_to_original"], digits=3, percent=False
        ),
        "codec_batch": params["codec"]["batch_size"],
        "codec_lr": params["codec"]["lr"],
        "crop_seconds": params["codec"]["crop_seconds"],
        "width": judge.dims.n_text_state,
        "layers": judge.dims.n_text_layer,
        "context": asr.context_samples(judge) / asr.SAMPLE_RATE,
        "golden_steps": f"{params['recognizer_golden']['max_steps']:,}",
        "steps": f"{params['recognizer']['max_steps']:,}",
        "pools": ", ".join(
            f"{share:.0%} {'golden' if k == 'golden' else f'resynthesis by {k} codebooks'}"
            for k, share in params["recognizer"]["pools"].items()
        ),
        "batch": params["recognizer"]["batch_size"],
        "speed": params["recognizer"]["speed"],
        "empty": params["recognizer"]["empty_share"],
    }
    for prefix, suffix in (("", ""), ("unseen_", "_unseen_voices")):
        part, read = measured[f"codec{suffix}"], measured[f"recognizer{suffix}"]
        fields |= {
            f"{prefix}wer_golden": with_interval(read["wer_golden"]),
            f"{prefix}wer_copy": with_interval(read["wer_resynthesis"]),
            f"{prefix}voices": part["voices"],
            f"{prefix}wer_original": with_interval(part["pocketsphinx_wer_original"], 1),
            f"{prefix}wer_resynthesis": with_interval(part["pocketsphinx_wer_resynthesis"], 1),
            f"{prefix}wer_difference": with_interval(part["pocketsphinx_wer_difference"], 1),
            f"{prefix}similarity": with_interval(part["similarity_to_original"], 3, percent=False),
            f"{prefix}worst": with_interval(part["similarity_of_worst_voice"], 3, percent=False),
        }
    return fields


def check_halved(waves: list[torch.Tensor], codecs: tuple[Path, Path], recognizers: tuple[Path, Path]) -> str:
    """Check that the halved models agree with the full ones; return a line that says how closely.

    Args:
        codecs: folders of the full and of the halved one; ``recognizers`` likewise.
    Raises:
        InputError: they do not.
    """
    full, halved = (load_codec(str(p)).encode(waves) for p in codecs)
    same = torch.cat([(a == b)[0] for a, b in zip(full, halved, strict=True)]).float().mean().item()
    if same < MIN_CODEC_AGREEMENT:
        raise InputError(f"in half precision only {same:.1%} of the codec's level-1 codes stay: export it in float32")
    a, b = (asr.transcribe(asr.load_recognizer(p), waves) for p in recognizers)
    if a != b:
        changed = sum(x != y for x, y in zip(a, b, strict=True))
        raise InputError(f"in half precision {changed} of {len(waves)} transcripts change: export it in float32")
    return f"{same:.2%} of level-1 codes and every checked transcript as before halving"


def size_together(out: Path, halved: tuple[Path, Path]) -> int:
    """Return the bytes of all weights in ``out`` once the halved folders have replaced ``codec`` and ``whisper``.

    Raises:
        InputError: more than ``BUDGET_BYTES``.
    """
    replaced = [out / "codec", out / "whisper", *halved]
    others = [f for f in out.rglob("*.safetensors") if not any(f.is_relative_to(folder) for folder in replaced)]
    files = [*others, *(folder / "model.safetensors" for folder in halved)]
    size = sum(f.stat().st_size for f in files)
    if size > BUDGET_BYTES:
        raise InputError(f"the checkpoints take {size / 2**20:.1f} MiB together, over {BUDGET_BYTES / 2**20:.0f} MiB")
    return size


@one_message()
def main(
    params_file: Path = Path("bootstrap/params.yaml"),
    work: Path = Path("bootstrap/work"),
    codec: Path | None = None,
    recognizer: Path | None = None,
    out: Path = Path("checkpoints"),
) -> None:
    """Export ``<work>/codec`` and ``<work>/whisper``, or the folders given (those that were measured)."""
    params = yaml.safe_load(params_file.read_text())
    torch.set_num_threads(params["recognizer"]["threads"])
    codec, recognizer = codec or work / "codec", recognizer or work / "whisper"
    codec_model, judge = encodec.load_model(str(codec)), asr.load_recognizer(recognizer)
    told = facts(work, params, json.loads((work / "measure.json").read_text()), codec_model, judge)
    # Both are checked before either replaces its folder.
    with atomic_path(out / "codec") as half_codec, atomic_path(out / "whisper") as half_recognizer:
        encodec.save(codec_model, encodec.read_config(codec), half_codec, torch.float16)
        asr.save(judge, half_recognizer, torch.float16)
        waves = load_split(work / "data" / "test.npz")[0][:CHECKED]
        agreement = check_halved(waves, (codec, half_codec), (recognizer, half_recognizer))
        size = size_together(out, (half_codec, half_recognizer))
        (half_codec / "README.md").write_text(CODEC_CARD.format(**told))
        (half_recognizer / "README.md").write_text(WHISPER_CARD.format(**told))
    print(f"{size / 2**20:.1f} MiB; {agreement}")


if __name__ == "__main__":
    typer.run(main)
