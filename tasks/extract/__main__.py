"""Stage ``extract``: cuts → codec codes. ``python -m tasks.extract``"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
import typer
from lhotse.cut import Cut

from model.codecs.base import Codec
from model.codecs.facts import codec_facts
from model.codecs.registry import load_codec
from tasks.common import cuts, paths, runtime, schemas
from tasks.common.codes import codes_column
from tasks.common.engine import Workers
from tasks.common.engine.backend import Done, Places
from tasks.common.files import DataError, write_row_groups
from tasks.common.params import Params
from tasks.common.progress import Bar
from tasks.common.stage import stage

CHUNK = 512  # cuts whose audio is in memory at a time
# Codes in a row group, two fifths of the demo's train split. Collecting and writing them takes fifteen bytes per code
# for a moment, whatever the corpus, and the 32-bit offsets of a list reach to four thousand times as many.
CODES_IN_A_ROW_GROUP = 1 << 19


BATCH_SECONDS = {"cpu": 10.0, "cuda": 480.0}


def seconds_per_pass(params: Params, device: torch.device) -> float:
    """Return the seconds of audio in one forward pass."""
    chosen = params.extract.batch_seconds
    return BATCH_SECONDS[device.type] if chosen == "auto" else float(chosen)


@dataclass(frozen=True)
class CodecParts:
    """A worker's codec."""

    name: str

    @property
    def folders(self) -> Sequence[str]:
        return [self.name]

    def load(self, at: Places, device: torch.device) -> Codec:
        return load_codec(at(self.name), device)


@dataclass(frozen=True)
class Encoded:
    """An utterance's codes ``(levels, frames)``, and the voice in it if the codec's decoder takes one."""

    codes: np.ndarray
    voice: tuple[float, ...] = ()


@stage
def main() -> None:
    """Extract golden codec tokens of every split."""
    params, device = runtime.start()
    # Counted first: damaged cuts of one split stop the stage before it replaces the codes of another.
    totals = {split: sum(1 for _ in cuts.rows(split)) for split in paths.SPLITS}
    with Workers(params, CodecParts(params.models.codec), device) as workers:
        for split, total in totals.items():
            write_row_groups(paths.codes(split), row_groups(split, total, workers, params), schemas.CODES)


def row_groups(split: str, total: int, workers: Workers[Codec], params: Params) -> Iterator[pa.Table]:
    """Yield the split's utterances as tables of ``schemas.CODES``, one per row group.

    Raises:
        DataError: damaged cuts, or a cut at another sampling rate than the codec's.
    """
    left = cuts.read(split)  # a cut takes kilobytes
    rate = codec_facts(params.models.codec).sample_rate
    given: deque[list[Cut]] = deque()  # those whose codes are not here yet
    parts, codes_held = [], 0

    def shards() -> Iterator[list[np.ndarray]]:
        while part := list(islice(left, CHUNK)):
            given.append(part)
            yield [_wave(cut, rate, params) for cut in part]

    work = partial(encode, batch_seconds=seconds_per_pass(params, workers.device))
    with Bar(f"extract {split}", total) as bar:
        for encoded in workers.map(work, shards(), bar.advance):
            parts.append(_table(given.popleft(), encoded))
            codes_held += sum(one.codes.size for one in encoded)
            if codes_held >= CODES_IN_A_ROW_GROUP:
                yield pa.concat_tables(parts).combine_chunks()
                parts, codes_held = [], 0
    if parts:
        yield pa.concat_tables(parts).combine_chunks()


def encode(codec: Codec, waves: list[np.ndarray], done: Done, *, batch_seconds: float) -> list[Encoded]:
    """Return what the codec makes of each waveform."""
    tensors = [torch.from_numpy(wave) for wave in waves]
    codes = codec.encode(tensors, batch_seconds)
    voices = [codec.voice_of(wave) for wave in tensors]
    done(len(waves))
    return [Encoded(c.numpy(), voice) for c, voice in zip(codes, voices, strict=True)]


def _wave(cut: Cut, rate: int, params: Params) -> np.ndarray:
    if cut.sampling_rate != rate:
        raise DataError(
            f"cut {cut.id} is at {cut.sampling_rate} Hz, codec {params.models.codec} at "
            f"{rate} Hz; run `prepare` again with this codec"
        )
    return cut.load_audio()[0]


def _table(part: list[Cut], encoded: list[Encoded]) -> pa.Table:
    facts = [
        {
            "id": cut.id,
            "speaker": cut.supervisions[0].speaker,
            "text": cut.supervisions[0].text,
            "seen": bool(cut.custom["seen"]),
            "seconds": cut.duration,
            "voice": one.voice or None,
        }
        for cut, one in zip(part, encoded, strict=True)
    ]
    place = schemas.CODES.get_field_index("codes")
    columns = pa.Table.from_pylist(facts, schema=schemas.CODES.remove(place))
    return columns.add_column(place, schemas.CODES.field("codes"), codes_column([one.codes for one in encoded]))


if __name__ == "__main__":
    typer.run(main)
