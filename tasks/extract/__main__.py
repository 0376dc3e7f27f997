"""Stage ``extract``: cuts → codec codes. ``python -m tasks.extract``"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
import typer
from lhotse.cut import Cut

from model.codecs.base import Codec
from model.codecs.registry import load_codec
from tasks.common import cuts, paths, runtime, schemas
from tasks.common.codes import codes_column
from tasks.common.files import DataError, write_row_groups
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.stage import stage

CHUNK = 512  # cuts whose audio is in memory at a time
# Codes in a row group, half as many again as in the demo's train split. Writing takes ten bytes per code for a moment,
# and the 32-bit offsets of a list reach to a thousand times as many.
CODES_IN_A_ROW_GROUP = 1 << 21


@stage
def main() -> None:
    """Extract golden codec tokens of every split."""
    params, device = runtime.start()
    codec = load_codec(params.models.codec, device)
    # Counted first: damaged cuts of one split stop the stage before it replaces the codes of another.
    totals = {split: sum(1 for _ in cuts.rows(split)) for split in paths.SPLITS}
    for split, total in totals.items():
        write_row_groups(paths.codes(split), row_groups(split, total, codec, params), schemas.CODES)


def row_groups(split: str, total: int, codec: Codec, params: Params) -> Iterator[pa.Table]:
    """Yield the split's utterances as tables of ``schemas.CODES``, one per row group.

    Raises:
        DataError: damaged cuts, or a cut at another sampling rate than the codec's.
    """
    left = cuts.read(split)  # a cut takes kilobytes
    parts, codes_held = [], 0
    with Bar(f"extract {split}", total) as bar:
        while part := list(islice(left, CHUNK)):
            encoded = codec.encode([_wave(cut, codec, params) for cut in part], params.extract.batch_seconds)
            parts.append(_table(part, [codes.numpy() for codes in encoded]))
            codes_held += sum(codes.numel() for codes in encoded)
            bar.advance(len(part))
            if codes_held >= CODES_IN_A_ROW_GROUP:
                yield pa.concat_tables(parts).combine_chunks()
                parts, codes_held = [], 0
    if parts:
        yield pa.concat_tables(parts).combine_chunks()


def _wave(cut: Cut, codec: Codec, params: Params) -> torch.Tensor:
    if cut.sampling_rate != codec.sample_rate:
        raise DataError(
            f"cut {cut.id} is at {cut.sampling_rate} Hz, codec {params.models.codec} at "
            f"{codec.sample_rate} Hz; run `prepare` again with this codec"
        )
    return torch.from_numpy(cut.load_audio()[0])


def _table(part: list[Cut], codes: list[np.ndarray]) -> pa.Table:
    facts = [
        {
            "id": cut.id,
            "speaker": cut.supervisions[0].speaker,
            "text": cut.supervisions[0].text,
            "seen": bool(cut.custom["seen"]),
            "seconds": cut.duration,
        }
        for cut in part
    ]
    columns = pa.Table.from_pylist(facts, schema=schemas.CODES.remove(schemas.CODES.get_field_index("codes")))
    return columns.append_column(schemas.CODES.field("codes"), codes_column(codes))


if __name__ == "__main__":
    typer.run(main)
