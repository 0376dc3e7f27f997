"""Where iteration 0 came from: a folder that was adopted (``policy.start``), or training here.

``runs/0/origin.json`` and ``runs/0/nar_origin.json`` name it, with the digest of the model. Such a file changes exactly
when its model does, so it stands for ``runs/0/policy`` where a stage can't list that folder a second time.
"""

from __future__ import annotations

from pathlib import Path

from model import policy
from model.codecs.facts import PUBLISHED_FACTS, codec_facts
from model.layouts.spec import LayoutSpec, own_layout, read_layout
from tasks.common import digests
from tasks.common.files import write_json
from tasks.common.params import Params
from tasks.common.params.models import TRAIN


def start_folder(params: Params, part: str) -> Path | None:
    """Return the folder of the start policy's ``part`` (``ar``, ``nar``), or None where it is trained here.

    Where ``policy.start`` is a model's own folder, it is the AR's.
    """
    if params.policy.start == TRAIN:
        return None
    start = Path(params.policy.start)
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


def codec_name(codec: str) -> str:
    """Return a published codec's name, or the digest of a folder's weights: a policy knows this codec's tokens only."""
    return codec if codec in PUBLISHED_FACTS else policy.digest(codec)


def write(path: Path, model: Path, params: Params) -> dict[str, str]:
    """Write and return what ``model``, the folder that a stage has written, came from."""
    origin = {
        "start": params.policy.start,
        "codec": codec_name(params.models.codec),
        "digest": digests.compute_folder(model),
    }
    write_json(path, origin)
    return origin
