"""Each text's voice prompt: a path in the list of texts, or a file named after the text or its speaker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from model.errors import InputError
from tasks.common.systems import ENDINGS, Sound, load, local_folder
from tasks.common.text_lists import Text, TextList, some


def find(texts: TextList, location: str | None) -> dict[str, Path]:
    """Return each text's prompt; empty where the list names none and no folder is given.

    Without a folder, paths are relative to the list; if none of them exists, there are no prompts.

    Raises:
        InputError: some texts have a prompt and others have none.
        DataError: the folder does not exist.
    """
    asked = texts.texts
    if location is None:
        found = {name: texts.folder / text.prompt for name, text in asked.items() if text.prompt}
        found = {name: path for name, path in found.items() if path.is_file()}
        if not found:
            return {}
    else:
        found = _in_folder(asked, local_folder(location))
    if missing := [name for name in asked if name not in found]:
        raise InputError(
            f"{len(missing)} of {len(asked)} texts have no voice prompt ({some(missing)}); expected a path in the "
            "column prompt, or a file named after the text or its speaker in the folder of --prompts"
        )
    return found


def read(paths: Mapping[str, Path]) -> dict[str, Sound]:
    """Return the prompts' audio.

    Raises:
        InputError: one can't be read.
    """
    read: dict[Path, Sound] = {path: load(path, 1) for path in sorted(set(paths.values()))}
    for path, sound in read.items():
        if not len(sound.samples):
            raise InputError(f"{path}, a voice prompt, can't be used: {sound.problem}")
    return {name: read[path] for name, path in paths.items()}


def _in_folder(texts: Mapping[str, Text], folder: Path) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file():
            by_name.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
            by_name.setdefault(path.stem, path)
    found = {}
    for name, text in texts.items():
        named = folder / text.prompt
        if text.prompt and named.is_file():
            found[name] = named
            continue
        candidates = (name, Path(text.prompt).stem, text.speaker)
        if stems := [stem for stem in candidates if stem and stem in by_name]:
            found[name] = by_name[stems[0]]
    return found
