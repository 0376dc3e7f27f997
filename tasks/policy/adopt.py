"""The AR that ``policy.start`` names, checked to be one that this loop can use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from model import policy
from model.codecs.facts import codec_facts
from model.codecs.registry import load_codec
from model.errors import InputError
from model.policy import Policy
from tasks.common.decoding import decoding_of
from tasks.common.files import DataError
from tasks.common.origin import codec_name
from tasks.common.params import Params
from tasks.common.params.models import TRAIN
from tasks.common.start import check_codec_kind, writes_all_levels
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.policy.layouts import check_codec


def adopt(folder: Path, params: Params, device: torch.device) -> Policy:
    """Load the policy that iteration 0 starts from.

    Raises:
        CheckpointError: no policy there, or a damaged one.
        InputError: it writes tokens of another codec than ``models.codec``.
    """
    if not folder.is_dir():
        raise InputError(
            f"policy.start is {params.policy.start}, but {folder} does not exist: name a folder that holds ar/ and "
            "nar/ (the AR and the NAR of a policy), a model's folder with config.json, or set policy.start to train"
        )
    adopted, codec = policy.load(folder, device, params.policy.layout), params.models.codec
    if adopted.layout.spec.codec is not None:
        check_codec_kind(params)
        loaded = load_codec(codec)
        check_codec(adopted.layout, loaded, codec)
        if loaded.takes_voice and params.policy.voice != "audio":
            raise InputError(
                f"policy.voice is {params.policy.voice}, but models.codec ({codec}) decodes in the voice of a "
                "recording; set policy.voice to audio"
            )
    size, expected = adopted.layout.code_tokens.size, codec_facts(codec).codebook_size
    trained_on, given = getattr(adopted.model.config, "codec", None), codec_name(codec)
    if size != expected or trained_on not in (None, given):
        found = f"{size} codes per level" if size != expected else f"codec {trained_on}"
        wanted = expected if size != expected else given
        raise InputError(
            f"policy.start is {params.policy.start}, whose AR writes tokens of another codec than models.codec "
            f"({codec}): expected {wanted}, found {found}; set models.codec to its codec, or policy.start to train"
        )
    if params.policy.voice != "audio" and not writes_all_levels(params):
        raise InputError(
            f"policy.voice is {params.policy.voice}, but a NAR writes levels 2 and up, which takes the voice from a "
            "recording; set policy.voice to audio, or models.codec to a codec with as many levels as the policy writes"
        )
    if adopted.layout.spec.word is not None:
        check_words(adopted, params)
    policy.forget_best_of_n(adopted.model)
    return adopted


ON_GOLDEN = ("sft",)  # methods that learn from recordings


def check_words(start: Policy, params: Params) -> None:
    """Refuse settings that need recordings as the policy would write them, words and codes: nobody aligned them.

    Raises:
        InputError: with the setting to change.
    """
    wanted = {
        "policy.voice": (params.policy.voice, params.policy.voice != "audio", "none"),
        "prefer.source": (params.prefer.source, params.prefer.source not in ("golden", "votes"), "own_samples"),
        "prefer.credit": (params.prefer.credit, params.prefer.credit == "utterance", "utterance"),
        "align.method": (params.align.method, params.align.method not in ON_GOLDEN, "dpo"),
    }
    for name, (found, usable, instead) in wanted.items():
        if not usable:
            raise InputError(
                f"{name} is {found}, but in layout {start.layout.name} words stand between the codes, so that a "
                f"recording would need an alignment of its words, which no stage makes; set {name} to {instead}"
            )


def check_room(splits: Sequence[Utterances], params: Params, start: Policy) -> None:
    """Check before the training that texts and recordings have room: ``sample`` and ``evaluate`` refuse what has none.

    Raises:
        DataError: a text and its prompt, with the frames that a sample of it may be given or with those of its
            recording, exceed the policy's positions.
    """
    limit, positions = decoding_of(params).max_frames, start.positions
    most: tuple[int, int, Utterances, int] | None = None  # positions, frames of a sample, of which utterance
    longer, first = 0, ""  # recordings that a sample could not be, and one of them
    for data in splits:
        voices = Voices.of(data, params)
        for i, (text, frames) in enumerate(zip(data.texts, data.frames, strict=True)):
            sampled = limit(text)
            context = start.layout.context(text, voices.longest_prompt(i))
            taken = positions - start.room(context, max(sampled, int(frames)))
            if most is None or taken > most[0]:
                most = (taken, sampled, data, i)
            if frames > sampled:
                longer, first = longer + 1, first or data.ids[i]
    if most and most[0] > positions:
        raise _no_room(*most, params, positions)
    if longer:
        print(
            f"sft_ar: warning: {longer} of {sum(map(len, splits))} recordings are longer than samples of their "
            f"texts may be (decoding.max_frames_per_character: {params.decoding.max_frames_per_character:g}), such as "
            f"{first}: raise that, or prepare.characters_per_second"
        )


def _no_room(needed: int, sampled: int, data: Utterances, index: int, params: Params, positions: int) -> DataError:
    text, frames = data.texts[index], int(data.frames[index])
    if params.policy.start == TRAIN:
        has, change = f"ar.max_positions is {positions}", f"raise that to {needed} at least"
    else:
        has, change = f"the policy in {params.policy.start} has {positions}", "start from one that has more"
    if frames >= sampled:
        long = f"and {frames} frames of its recording it takes {needed} positions"
        shorter = "lower prepare.max_seconds"
    else:
        long = (
            f"and up to {sampled} sampled ones (decoding.max_frames_per_character: "
            f"{params.decoding.max_frames_per_character:g}) it takes {needed} positions"
        )
        shorter = "lower decoding.max_frames_per_character or prepare.max_seconds"
    return DataError(
        f"the text of {data.ids[index]} has {len(text)} characters: with its voice prompt "
        f"{long}, but {has}; {change}, or {shorter}"
    )
