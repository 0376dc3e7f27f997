"""Stage ``prepare``: a corpus -> checked, resampled speech in train, dev and test.

``python -m tasks.prepare`` reads the block ``prepare`` of ``params.yaml`` and writes ``data/audio``, ``data/cuts`` and
``data/rejected.jsonl``. Every utterance of the corpus ends up in a cut or, with the reason, in the last.

torch, lhotse and boto3 are imported late: the readers' worker processes import this module again and need none.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from tasks.common import params, paths
from tasks.common.files import DataError, atomic_path
from tasks.common.progress import Bar
from tasks.common.stage import stage
from tasks.prepare import split
from tasks.prepare.intake import Spool, fill
from tasks.prepare.readers import registry


def run(p: params.Params) -> Spool:
    """Do the stage in the current folder.

    Raises:
        DataError: the corpus is not there or not what it should be, or nothing usable is left of it.
        ValueError: ``params.yaml`` asks for something that the corpus does not have.
    """
    sample_rate = codec_sample_rate(p.models.codec)
    root = corpus_folder(p)
    corpus = registry.READERS[p.prepare.corpus](p, root)
    # Entered in this order, the cuts are renamed last: they never point at audio that is not there yet.
    with atomic_path(paths.CUTS) as cuts, atomic_path(paths.REJECTED) as rejected, atomic_path(paths.AUDIO) as sound:
        sound.mkdir()
        spool = Spool(sound / ".spool.s16")
        fill(spool, corpus, sample_rate, p)
        spool.utterances = place(spool, p, corpus.fixed_splits)
        write(spool, sound, cuts, sample_rate)
        spool.path.unlink()
        with rejected.open("w", encoding="utf-8") as lines:
            for row in spool.rejected:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return spool


def place(spool: Spool, p: params.Params, fixed_splits: bool) -> list[split.Utterance]:
    """The usable utterances with their final splits; the others go to the rejected."""
    if not spool.utterances:
        counts = ", ".join(f"{n} {reason}" for reason, n in spool.reasons())
        first = f"; the first: {spool.rejected[0]}" if spool.rejected else ""
        raise DataError(f"nothing usable in the {p.prepare.corpus} corpus ({counts or 'no utterance found'}){first}")
    chosen, refused = spool.utterances, split.Refusals()
    if not fixed_splits:
        wanted = (p.prepare.test_utterances, p.prepare.dev_utterances, p.prepare.unseen_speakers)
        chosen, refused = split.draw(chosen, *wanted, p.seed)
    chosen, more = split.settle(chosen)
    for id_, problem in (refused | more).items():
        spool.reject(id_, spool.sources[id_], problem)
    return chosen


def write(spool: Spool, sound: Path, cuts: Path, sample_rate: int) -> None:
    """The speakers' FLAC files under ``sound`` and the cuts of each split under ``cuts``."""
    from tasks.prepare import manifest

    samples = np.memmap(spool.path, dtype="<i2", mode="r")
    seen = {u.speaker for u in spool.utterances if u.split == "train"}
    files: dict[tuple[str, str], list[split.Utterance]] = {}
    for u in sorted(spool.utterances, key=lambda u: u.id):
        files.setdefault((u.split or "", u.speaker), []).append(u)
    done: dict[str, list] = {name: [] for name in paths.SPLITS}
    with Bar("prepare: write", len(files)) as bar:
        for (name, speaker), members in sorted(files.items()):
            placed = []
            for u in members:
                start, n = spool.places[u.id]
                custom = {"seen": speaker in seen, "source": spool.sources[u.id]}
                placed.append((u.id, u.text, samples[start : start + n], custom))
            done[name] += manifest.write_speaker(sound, name, speaker, placed, sample_rate)
            bar.advance()
    for name in paths.SPLITS:
        manifest.write_cuts(cuts / paths.cuts(name).name, done[name])


def codec_sample_rate(name: str) -> int:
    """Rate in Hz of a codec by folder or published name, without loading its weights.

    Raises:
        DataError: no such codec, or its ``config.json`` names no sample rate.
    """
    from tasks.common.codec_info import facts

    rate = facts(name).get("sample_rate")
    if not isinstance(rate, int) or rate <= 0:
        raise DataError(f"the config.json of the codec {name} should name a sample_rate in Hz, but has {rate!r}")
    return rate


def corpus_folder(p: params.Params) -> Path:
    """Where the corpus lies on this machine, fetched first if it is on S3."""
    where = p.prepare.path
    if p.prepare.corpus == "synthetic" or where is None:
        return Path()
    if where.startswith("s3://"):
        from tasks.prepare import s3 as storage

        return storage.fetch(where)
    folder = Path(where)
    if not folder.is_dir():
        raise DataError(
            f"prepare.path is {where!r}, which is not a folder; expected the {p.prepare.corpus} corpus there"
        )
    return folder


def summary(spool: Spool, sample_rate: int) -> Table:
    """Split, utterances, speakers, minutes; then the rejected by reason."""
    table = Table("split", "utterances", "speakers", "minutes", title="prepare")
    for name in paths.SPLITS:
        members = [u for u in spool.utterances if u.split == name]
        minutes = sum(spool.places[u.id][1] for u in members) / sample_rate / 60
        table.add_row(name, str(len(members)), str(len({u.speaker for u in members})), f"{minutes:.1f}")
    table.add_section()
    for reason, n in spool.reasons():
        table.add_row(f"rejected: {reason}", str(n), "", "")
    return table


@stage
def main() -> None:
    """Read the corpus, check every utterance, write data/audio, data/cuts and data/rejected.jsonl."""
    p = params.load()
    spool = run(p)
    Console().print(summary(spool, codec_sample_rate(p.models.codec)))


if __name__ == "__main__":
    typer.run(main)
