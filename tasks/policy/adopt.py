"""The AR that ``policy.start`` names, checked to be one that this loop can use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from model import policy
from model.codecs.facts import codec_facts
from model.errors import InputError
from model.tokens import Vocabulary
from tasks.common.decoding import decoding_of
from tasks.common.files import DataError
from tasks.common.origin import codec_name
from tasks.common.params import Params
from tasks.common.params.models import TRAIN
from tasks.common.utterances import Utterances


def adopt(folder: Path, params: Params, device: torch.device) -> LlamaForCausalLM:
    """Load the AR that iteration 0 starts from.

    Raises:
        CheckpointError: no policy there, or a damaged one.
        InputError: it writes tokens of another codec than ``models.codec``.
    """
    if not folder.is_dir():
        raise InputError(
            f"policy.start is {params.policy.start}, but {folder} does not exist: name a folder that holds ar/ and "
            "nar/ (the AR and the NAR of a policy), or set policy.start to train"
        )
    ar, codec = policy.load(folder, device), params.models.codec
    size, expected = ar.config.codebook_size, codec_facts(codec).codebook_size
    trained_on, given = getattr(ar.config, "codec", None), codec_name(codec)
    if size != expected or trained_on not in (None, given):
        found = f"{size} codes per level" if size != expected else f"codec {trained_on}"
        wanted = expected if size != expected else given
        raise InputError(
            f"policy.start is {params.policy.start}, whose AR writes tokens of another codec than models.codec "
            f"({codec}): expected {wanted}, found {found}; set models.codec to its codec, or policy.start to train"
        )
    policy.forget_best_of_n(ar)
    return ar


def check_room(splits: Sequence[Utterances], params: Params, positions: int) -> None:
    """Check before the training that the longest text has room: ``sample`` and ``evaluate`` refuse what has none.

    Args:
        positions: of the policy.

    Raises:
        DataError: the longest text, its prompt and the frames it may be given exceed ``positions``.
    """
    places = [(data, int(data.texts.lengths().argmax())) for data in splits if len(data)]
    text, utterance = max(((data.texts[i], data.ids[i]) for data, i in places), key=lambda found: len(found[0]))
    frames = decoding_of(params).max_frames(text)
    needed = len(Vocabulary(1).context(text, [0] * params.prompt_frames)) + frames
    if needed <= positions:
        return
    if params.policy.start == TRAIN:
        has, change = f"ar.max_positions is {positions}", f"raise that to {needed} at least"
    else:
        has, change = f"the policy in {params.policy.start} has {positions}", "start from one that has more"
    raise DataError(
        f"the text of {utterance} has {len(text)} characters: with a prompt of {params.prompt_frames} frames"
        f" and up to {frames} sampled ones (decoding.max_frames_per_character: "
        f"{params.decoding.max_frames_per_character:g}) it takes {needed} positions, but {has}; {change}, or lower "
        "decoding.max_frames_per_character or prepare.max_seconds"
    )
