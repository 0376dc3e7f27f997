"""Where iteration 0 came from: a folder that was adopted (``policy.start``), or training here.

``runs/0/origin.json`` and ``runs/0/nar_origin.json`` name it, with the digest of the model. Such a file changes exactly
when its model does, so it stands for ``runs/0/policy`` where a stage can't list that folder a second time.
"""

from __future__ import annotations

from pathlib import Path

from model import policy
from model.codecs.facts import PUBLISHED_FACTS
from tasks.common import digests
from tasks.common.files import write_json
from tasks.common.params import Params


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
