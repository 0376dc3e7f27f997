"""Stage ``prepare``: from a corpus to checked, resampled speech in train, dev and test.

``python -m tasks.prepare`` reads the block ``prepare`` of ``params.yaml`` and writes ``data/audio``, ``data/cuts`` and
``data/rejected.jsonl``. Every utterance of the corpus ends up in a cut or, with the reason, in the last.

torch, lhotse and boto3 are imported late: the readers' worker processes import this module again and need none.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from model.codecs.facts import codec_facts
from tasks.common import params, paths
from tasks.common.audio import Limits
from tasks.common.files import DataError, atomic_path
from tasks.common.progress import Bar
from tasks.common.stage import stage
from tasks.prepare import splits
from tasks.prepare.intake import Intake
from tasks.prepare.readers.corpora import READERS


def run(p: params.Params) -> Table:
    """Do the stage in the current folder and return a summary.

    Raises:
        DataError: the corpus is not there or not what it should be, or nothing usable is left of it.
        ValueError: ``params.yaml`` asks for something that the corpus does not have.
    """
    sample_rate = codec_facts(p.models.codec).sample_rate
    corpus = READERS[p.prepare.corpus](p, corpus_folder(p))
    limits = Limits(p.prepare.min_seconds, p.prepare.max_seconds, p.prepare.max_clipped)
    # Entered in this order, the cuts are renamed last: they never point at audio that is not there yet.
    with atomic_path(paths.CUTS) as cuts, atomic_path(paths.REJECTED) as rejected, atomic_path(paths.AUDIO) as audio:
        audio.mkdir()
        intake = Intake(
            audio / ".spool.s16",
            sample_rate,
            limits,
            p.prepare.characters_per_second,
            p.spelling.rules(),
            p.compute.threads,
        )
        intake.read(corpus)
        assign_splits(intake, p, corpus.fixed_splits)
        frames = write(intake, audio, cuts)
        intake.spool.unlink()
        with rejected.open("w", encoding="utf-8") as lines:
            for row in intake.rejected:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        if len(intake.utterances) + len(intake.rejected) != corpus.total:
            raise RuntimeError(f"the corpus has {corpus.total} utterances, but cuts and rejected.jsonl have others")
    return summary(intake, frames)


def assign_splits(intake: Intake, p: params.Params, fixed_splits: bool) -> None:
    """Give every usable utterance its final split; reject those that have a place in none."""
    if not intake.utterances:
        counts = ", ".join(f"{n} {reason}" for reason, n in intake.reasons())
        first = f"; the first: {intake.rejected[0]}" if intake.rejected else ""
        raise DataError(f"nothing usable in the {p.prepare.corpus} corpus ({counts or 'no utterance found'}){first}")
    if fixed_splits:
        intake.utterances, rejected = splits.drop_unusable(intake.utterances)
    else:
        wanted = (p.prepare.test_utterances, p.prepare.dev_utterances, p.prepare.unseen_speakers)
        intake.utterances, rejected = splits.split(intake.utterances, *wanted, p.seed)
    for id_, problem in rejected.items():
        intake.reject(id_, intake.sources[id_], problem)


def write(intake: Intake, audio: Path, cuts: Path) -> Counter[str]:
    """Write the speakers' FLAC files under ``audio`` and the cuts under ``cuts``; return samples per split."""
    from tasks.prepare import manifest

    seen = {u.speaker for u in intake.utterances if u.split == "train"}
    frames = Counter[str]()
    with Bar("prepare: write", len(intake.utterances)) as bar:
        stream = intake.samples(sorted(intake.utterances, key=lambda u: (u.split or "", u.speaker, u.id)))
        for name, members in groupby(stream, key=lambda pair: pair[0].split or ""):
            with manifest.cuts_writer(cuts / paths.cuts(name).name) as write_cuts:
                for speaker, pairs in groupby(members, key=lambda pair: pair[0].speaker):
                    placed = (
                        (u.id, u.text, samples, {"seen": speaker in seen, "source": intake.sources[u.id]})
                        for u, samples in pairs
                    )
                    made = manifest.write_speaker(audio, name, speaker, placed, intake.sample_rate)
                    write_cuts(made)
                    frames[name] += made[0].recording.num_samples
                    bar.advance(len(made))
    return frames


def corpus_folder(p: params.Params) -> Path:
    """Return the folder of the corpus on this machine; one on S3 is fetched first."""
    where = p.prepare.path
    if p.prepare.corpus == "synthetic" or where is None:
        return Path()
    if where.startswith("s3://"):
        from tasks.common import s3

        return s3.fetch(where)
    if not Path(where).is_dir():
        raise DataError(
            f"prepare.path is {where!r}, which is not a folder; expected the {p.prepare.corpus} corpus there"
        )
    return Path(where)


def summary(intake: Intake, frames: Counter[str]) -> Table:
    """Return a table of splits (utterances, speakers, minutes) and of the rejected by reason."""
    table = Table("split", "utterances", "speakers", "minutes", title="prepare")
    for name in paths.SPLITS:
        members = [u for u in intake.utterances if u.split == name]
        minutes = frames[name] / intake.sample_rate / 60
        table.add_row(name, str(len(members)), str(len({u.speaker for u in members})), f"{minutes:.1f}")
    table.add_section()
    for reason, n in intake.reasons():
        table.add_row(f"rejected: {reason}", str(n), "", "")
    return table


@stage
def main() -> None:
    """Read the corpus, check every utterance, write data/audio, data/cuts and data/rejected.jsonl."""
    Console().print(run(params.load()))


if __name__ == "__main__":
    typer.run(main)
