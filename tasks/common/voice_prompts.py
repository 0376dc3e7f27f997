"""Each text's voice prompt, if it has one: a path in the list of texts, or a file named after it or its speaker."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from model.audio import clipping
from model.errors import InputError
from tasks.common.systems import ENDINGS, LEAST_SECONDS, Sound, files_below, load, local_folder
from tasks.common.text_lists import Text, TextList, some

MARK = re.compile(r"[._-]prompt$", re.IGNORECASE)  # t1.prompt.flac is the prompt of t1


def find(texts: TextList, location: str | None) -> dict[str, Path]:
    """Return the prompts of the texts that have one.

    Without a folder, they are the paths in the list, relative to it, as far as the files exist.

    Raises:
        InputError: the folder has a prompt of none of the texts.
        DataError: the folder does not exist.
    """
    asked = texts.texts
    if location is None:
        named = {name: texts.folder / text.prompt for name, text in asked.items() if text.prompt}
        return {name: path for name, path in named.items() if os.path.isfile(path)}
    found = _in_folder(asked, local_folder(location))
    if not found:
        raise InputError(
            f"{location} has a voice prompt of none of the {len(asked)} texts ({some(asked)}); expected files named "
            f"after a text or its speaker, such as {next(iter(asked))}.wav or {next(iter(asked))}.prompt.wav"
        )
    return found


def absent(texts: TextList) -> list[str]:
    """Return the prompts' paths in the list that lead to no file."""
    named = dict.fromkeys(text.prompt for text in texts.texts.values() if text.prompt)
    return [prompt for prompt in named if not os.path.isfile(texts.folder / prompt)]


def read(paths: Mapping[str, Path]) -> dict[str, Sound]:
    """Return the prompts' audio. A clipped one is warned of: no system can be much like it.

    Raises:
        InputError: one can't be read, or is too short.
    """
    read: dict[Path, Sound] = {path: load(path, 1) for path in sorted(set(paths.values()))}
    for path, sound in read.items():
        if not len(sound.samples):
            raise InputError(f"{path}, a voice prompt, can't be used: {sound.problem}")
        if sound.seconds < LEAST_SECONDS:
            raise InputError(
                f"{path}, a voice prompt, has {sound.seconds:.3f} s; expected at least {LEAST_SECONDS} s of a voice"
            )
        if said := clipping(sound.samples):
            print(f"warning: {path}, a voice prompt, {said}", file=sys.stderr)
    return {name: read[path] for name, path in paths.items()}


def _in_folder(texts: Mapping[str, Text], folder: Path) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        if path.suffix.lower() in ENDINGS and path.is_file():
            for name in (path.relative_to(folder).with_suffix("").as_posix(), path.stem):
                by_name.setdefault(name, path)
                by_name.setdefault(MARK.sub("", name), path)
    found = {}
    for name, text in texts.items():
        named = folder / text.prompt
        if text.prompt and os.path.isfile(named):
            found[name] = named
            continue
        candidates = (name, Path(text.prompt).stem, text.speaker)
        if stems := [stem for stem in candidates if stem and stem in by_name]:
            found[name] = by_name[stems[0]]
    return found
