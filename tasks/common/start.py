"""The policy that iteration 0 starts from, as far as its files tell without loading it. No torch."""

from __future__ import annotations

from pathlib import Path

from model.codecs.facts import codec_facts, published
from model.errors import InputError
from model.layouts.files import own_layout, read_layout
from model.layouts.hub import local_folder
from model.layouts.spec import LayoutSpec
from tasks.common.params import Params
from tasks.common.params.models import TRAIN


def start_folder(params: Params, part: str) -> Path | None:
    """Return the folder of the start policy's ``part`` (``ar``, ``nar``), or None where it is trained here.

    Where ``policy.start`` is a model's own folder, or a name on the Hugging Face Hub, it is the AR's.

    Raises:
        CheckpointError: such a name that is not in the Hub's cache and cannot be downloaded.
    """
    if params.policy.start == TRAIN:
        return None
    start = local_folder(params.policy.start)
    return start if part == "ar" and (start / "config.json").is_file() else start / part


def start_layout(params: Params) -> LayoutSpec:
    """Return the layout of the start policy, from its file alone.

    Raises:
        LayoutError: there is none, or it is no layout.
    """
    folder = start_folder(params, "ar")
    named = params.policy.layout or ("own" if folder is None else None)
    return read_layout(named or str(own_layout(folder)))


def writes_all_levels(params: Params) -> bool:
    """Say whether the policy writes every level of the codec, so that there is no NAR."""
    return start_layout(params).codes.n_levels == codec_facts(params.models.codec).n_codebooks


def check_codec_kind(params: Params) -> None:
    """Refuse a codec of another kind than the layout's.

    Raises:
        InputError: with the codec to take, if there is one.
        LayoutError: the policy has no layout.
    """
    spec, codec = start_layout(params).codec, params.models.codec
    if spec is None or (found := codec_facts(codec).kind).removesuffix("_hf") == spec.kind:
        return
    known, layout = published(spec.kind, spec.sample_rate), params.policy.layout or f"{params.policy.start}/layout.yaml"
    raise InputError(
        f"layout {layout} is for the codec {spec.kind}, but models.codec is {codec}, a {found}: "
        + (f"name a folder of {spec.kind}, or {known}" if known else _unknown(spec.kind))
    )


def _unknown(kind: str) -> str:
    from model.codecs.kinds import installed, kinds  # torch, which only the message needs

    known = [*kinds(), *installed()]
    if kind in known:
        return f"name a folder of {kind}"
    return (
        f"that codec is in no package here; codec.kind of a layout may be {', '.join(known)}, or one that you bring "
        "(docs/your-model.md)"
    )
