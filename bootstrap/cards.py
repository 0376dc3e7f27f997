"""The model cards of the embedded checkpoints: their texts, and the facts that these name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from encodec import EncodecModel
from whisper.model import Whisper

from bootstrap.measure import load_split
from model.judges import asr

CODEC = """# Codec: a small EnCodec for synthetic spoken digits

An `encodec.EncodecModel` at 16 kHz: {frame_rate:.0f} frames per second, {n_codebooks} codebooks of {codebook_size}
entries, {parameters:.2f} M parameters, half precision. `config.json` holds its shape; load it with
`model.codecs.registry.load_codec("<this folder>")`.

## Data

{train_utterances} utterances ({train_minutes:.0f} min) of digit strings by {train_voices} voices of the espeak-ng
formant synthesizer. No human was recorded.

## Recipe

`bootstrap/train_codec.py`, no discriminator, {codec_batch} crops of {crop_seconds} s per step: first {codec_steps}
steps with log-mel (three scales), waveform and commitment losses at {codec_lr}, then {refined_steps} steps without the
waveform loss and with linear magnitudes (spectral convergence) instead, and {final_steps} more.
`dvc repro bootstrap/dvc.yaml` makes it again. It repeats the recipe, not the bits: the shipped weights saw 28 other
espeak-ng voices, whose formants and pitch were not moved, and one run was interrupted (level 1 had collapsed to six
codes by step 13,000 and was initialized again by k-means).

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

## Limits and use

Made to run this project's loop anywhere, offline: it knows formant-synthesized digits and nothing else. It distorts
human speech, other words, noise and music. For those, load a published EnCodec by name, or train one with
`bootstrap/`. Same license as the code. It was trained on espeak-ng's output (GPL-3.0) and contains no part of it.
"""

RECOGNIZER = """# Recognizer: a small Whisper for spoken digits

A `whisper.model.Whisper` of width {width}, {layers} + {layers} layers, {context:.0f} s of context, with Whisper's own
tokenizer and vocabulary of 51,864 (all but 13 rows are zero), half precision. `config.json` holds its dimensions; load
it with `model.judges.asr.load_recognizer("<this folder>")` and it works with `whisper.decode`.

## Data

{train_utterances} utterances ({train_minutes:.0f} min) of digit strings by {train_voices} espeak-ng voices, golden and
resynthesized by this project's codec (with all its codebooks, and with the first two).

## Recipe

`bootstrap/train_recognizer.py`: {golden_steps} steps on golden speech with a CTC loss in addition to
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

POLICY = """# Policy: the AR and NAR from which the loop starts

`ar/` is a `transformers.LlamaForCausalLM` of {ar_parameters:.2f} M parameters over characters and level-1 codes, up to
{positions} positions. `nar/` predicts the other levels from level 1 and a voice prompt, {nar_parameters:.2f} M
parameters. Half precision. They write tokens of the codec in `checkpoints/codec`, and of no other. `policy.start` of
`params.yaml` names this folder. Load both with `model.voice.Voice.load`.

## Data

{utterances} utterances of {min_words} to {max_words} digits by {voices} espeak-ng voices, as the
stages `prepare` and `extract` make them. No human was recorded.

## Recipe

The loop's own stages `sft_ar` ({ar[epochs]} epochs, {ar[optimizer]}, learning rate {ar[lr]:g}) and `sft_nar`
({nar[epochs]} epochs, {nar[optimizer]}, {nar[lr]:g}), with the settings of `bootstrap/params.yaml`, block `policy`.
`dvc repro bootstrap/dvc.yaml` makes them again.

## Measured

On {test_utterances} test utterances, whose texts are not in the training data. The NAR's numbers are the share of
golden codes that it finds from golden level-1 codes, greedily.

| | seen voices | unseen voices |
|---|---|---|
| AR, nats per level-1 token | {loss_seen} | {loss_unseen} |
{nar_rows}

Word error rate and similarity of its speech are in the loop's report, as iteration 0.

## Limits and use

It says the ten digits in strings of the lengths above, with synthetic voices. Longer strings are what the loop aligns
it for. Same license as the code.
"""


def with_interval(value: Mapping[str, Any], digits: int = 2, percent: bool = True) -> str:
    """Return ``"0.43 % [0.21, 0.69]"`` for a measurement, without the interval if it has none."""
    scale, unit = (100, " %") if percent else (1, "")
    text = f"{value['value'] * scale:.{digits}f}{unit}"
    if "low" in value:
        text += f" [{value['low'] * scale:.{digits}f}, {value['high'] * scale:.{digits}f}]"
    return text


def speech_facts(speech: Path) -> dict[str, Any]:
    """Return how much speech codec and recognizer were trained on."""
    waves, _, voices = load_split(speech)
    return {
        "train_utterances": f"{len(waves):,}",
        "train_minutes": sum(map(len, waves)) / asr.SAMPLE_RATE / 60,
        "train_voices": len(set(voices)),
    }


def codec_card(speech: Path, params: dict[str, Any], measured: dict[str, Any], codec: EncodecModel) -> str:
    """Return the codec's card.

    Args:
        speech: train.npz of ``bootstrap.data``.
        params: bootstrap/params.yaml. measured: measure.json.
    """
    fields = speech_facts(speech) | {
        "frame_rate": codec.frame_rate,
        "n_codebooks": len(codec.quantizer.vq.layers),
        "codebook_size": codec.quantizer.bins,
        "parameters": sum(p.numel() for p in codec.parameters()) / 1e6,
        "codec_batch": params["codec"]["batch_size"],
        "codec_lr": params["codec"]["lr"],
        "crop_seconds": params["codec"]["crop_seconds"],
    }
    for name in ("codec", "codec_refined", "codec_final"):
        fields[f"{name.removeprefix('codec_')}_steps"] = f"{params[name]['max_steps']:,}"
    for prefix, suffix in (("", ""), ("unseen_", "_unseen_voices")):
        part = measured[f"codec{suffix}"]
        fields |= {
            f"{prefix}voices": part["voices"],
            f"{prefix}wer_original": with_interval(part["pocketsphinx_wer_original"], 1),
            f"{prefix}wer_resynthesis": with_interval(part["pocketsphinx_wer_resynthesis"], 1),
            f"{prefix}wer_difference": with_interval(part["pocketsphinx_wer_difference"], 1),
            f"{prefix}similarity": with_interval(part["similarity_to_original"], 3, percent=False),
            f"{prefix}worst": with_interval(part["similarity_of_worst_voice"], 3, percent=False),
        }
    return CODEC.format(**fields)


def recognizer_card(speech: Path, params: dict[str, Any], measured: dict[str, Any], judge: Whisper) -> str:
    """Return the recognizer's card; arguments as for :func:`codec_card`."""
    p = params["recognizer"]
    fields = speech_facts(speech) | {
        "width": judge.dims.n_text_state,
        "layers": judge.dims.n_text_layer,
        "context": asr.context_samples(judge) / asr.SAMPLE_RATE,
        "golden_steps": f"{params['recognizer_golden']['max_steps']:,}",
        "steps": f"{p['max_steps']:,}",
        "pools": ", ".join(
            f"{share:.0%} {'golden' if k == 'golden' else f'resynthesis by {k} codebooks'}"
            for k, share in p["pools"].items()
        ),
        "batch": p["batch_size"],
        "speed": p["speed"],
        "empty": p["empty_share"],
        "unseen_voices": measured["codec_unseen_voices"]["voices"],
    }
    for prefix, suffix in (("", ""), ("unseen_", "_unseen_voices")):
        read = measured[f"recognizer{suffix}"]
        fields[f"{prefix}wer_golden"] = with_interval(read["wer_golden"])
        fields[f"{prefix}wer_copy"] = with_interval(read["wer_resynthesis"])
    return RECOGNIZER.format(**fields)


def policy_card(params: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """Return the policy's card.

    Args:
        params: those that it was trained with. measured: of :func:`bootstrap.start_policy.measure`.
    """
    speech, ar, nar = params["prepare"]["synthetic"], params["sft_ar"], params["sft_nar"]
    levels = zip(measured["found"]["seen"], measured["found"]["unseen"], strict=True)
    rows = [f"| NAR, level {level} | {seen:.1%} | {other:.1%} |" for level, (seen, other) in enumerate(levels, 2)]
    return POLICY.format(
        **measured["sizes"],
        utterances=f"{speech['utterances']:,}",
        min_words=speech["min_words"],
        max_words=speech["max_words"],
        voices=len(speech["voices"]),
        ar=ar,
        nar=nar,
        loss_seen=f"{measured['loss']['seen']:.3f}",
        loss_unseen=f"{measured['loss']['unseen']:.3f}",
        nar_rows="\n".join(rows),
    )
