"""Stage ``extract``: cuts → codec codes. ``python -m tasks.extract``"""

from __future__ import annotations

import torch
import typer
from lhotse import CutSet

from model.codecs.registry import load_codec
from tasks.common import paths, runtime, schemas
from tasks.common.files import DataError, write_table
from tasks.common.progress import Bar
from tasks.common.stage import stage

CHUNK = 512  # cuts in memory at a time


@stage
def main() -> None:
    """Extract golden codec tokens of every split."""
    params, device = runtime.start()
    codec = load_codec(params.models.codec, device)
    for split in paths.SPLITS:
        cuts = list(CutSet.from_file(paths.cuts(split)))
        rows = []
        with Bar(f"extract {split}", len(cuts)) as bar:
            for first in range(0, len(cuts), CHUNK):
                part = cuts[first : first + CHUNK]
                waves = []
                for cut in part:
                    if cut.sampling_rate != codec.sample_rate:
                        raise DataError(
                            f"cut {cut.id} is at {cut.sampling_rate} Hz, codec {params.models.codec} at "
                            f"{codec.sample_rate} Hz; run `prepare` again with this codec"
                        )
                    waves.append(torch.from_numpy(cut.load_audio()[0]))
                for cut, codes in zip(part, codec.encode(waves, params.extract.batch_seconds), strict=True):
                    supervision = cut.supervisions[0]
                    rows.append(
                        {
                            "id": cut.id,
                            "speaker": supervision.speaker,
                            "text": supervision.text,
                            "seen": bool(cut.custom["seen"]),
                            "seconds": cut.duration,
                            "codes": codes.tolist(),
                        }
                    )
                bar.advance(len(part))
        write_table(paths.codes(split), rows, schemas.CODES)


if __name__ == "__main__":
    typer.run(main)
