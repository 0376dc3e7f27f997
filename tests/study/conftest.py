from pathlib import Path

import pytest
import yaml

from study.arms import Study, load
from tests.study.made import STUDY, write


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    Path("study/params.yaml").write_text(yaml.safe_dump(STUDY))
    study = load()
    for iteration, wer in enumerate((0.4, 0.3, 0.25, 0.1)):
        write(study, "loop", iteration, wer)
    write(study, "sft", 1, 0.41)
    return study
