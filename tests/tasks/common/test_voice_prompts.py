"""Voice prompts of the texts."""

from __future__ import annotations

import numpy as np
import soundfile

from tasks.common import voice_prompts
from tests.conftest import tone, write_tone


def test_a_clipped_prompt_is_warned_of_once_by_its_file(tmp_path, capsys):
    good, bad = write_tone(tmp_path / "good.wav"), tmp_path / "bad.wav"
    soundfile.write(bad, np.clip(5 * tone(), -1, 1), 16000)
    assert list(voice_prompts.read({"t0": good, "t1": bad, "t2": bad})) == ["t0", "t1", "t2"]
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {bad}, a voice prompt, is clipped (") and said.count("warning") == 1
