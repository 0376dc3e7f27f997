"""Two folders of synthetic digit strings, small enough for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from flows import cli
from tests.model.judges.speech import synthesized

EMBEDDED = Path(__file__).parents[3] / "checkpoints" / "whisper"
TEXTS = ["seven two nine", "one four", "three eight five", "zero six"]
VOICES = ["m1", "f2"]
JUDGES = ["--recognizer", str(EMBEDDED), "--second", "none", "--resamples", "1000"]
embedded = pytest.mark.skipif(not (EMBEDDED / "model.safetensors").is_file(), reason="checkpoints/whisper is not here")


def gate(*arguments: object):
    """Run ``speechalign gate``."""
    return CliRunner().invoke(cli.app, ["gate", *map(str, arguments)], prog_name="speechalign")


def write_texts(root: Path, content: str) -> Path:
    """Write ``texts.csv``."""
    (root / "texts.csv").write_text(content)
    return root / "texts.csv"


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``texts.csv``, ``a`` and ``b`` (two draws each) and ``prompts`` by speaker."""
    root = tmp_path_factory.mktemp("spoken")
    lines = ["id,text,speaker"]
    for folder in ("a", "b/draws", "prompts"):
        (root / folder).mkdir(parents=True)
    for i, text in enumerate(TEXTS):
        voice = VOICES[i % 2]
        lines.append(f"t{i},{text.capitalize()}.,{voice}")
        soundfile.write(root / "a" / f"t{i}.flac", synthesized(text, voice), 16000)
        for draw in (1, 2):
            soundfile.write(root / "b" / "draws" / f"t{i}_{draw}.wav", synthesized(text, voice, 140 + 10 * draw), 16000)
    for voice in VOICES:
        soundfile.write(root / "prompts" / f"{voice}.wav", synthesized("four four two one", voice), 16000)
    (root / "texts.csv").write_text("\n".join(lines) + "\n")
    return root
