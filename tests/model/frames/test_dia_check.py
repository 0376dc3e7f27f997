"""The check of Dia's layout on a checkpoint trained for seconds: the right layout wins, planted faults are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from model.layouts.check import Report, check_layout
from model.layouts.checkpoint import load_causal_lm
from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss
from model.layouts.spec import LayoutError
from model.objectives.logprobs import collate, label_logprobs
from tests.model.frames import tiny_dia
from tests.model.layouts.trained import recordings

STEPS = 80


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Return the folder of a checkpoint that knows the toy language."""
    folder = tmp_path_factory.mktemp("dia")
    model = tiny_dia.dia(width=32)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.08)  # the tiny model's weights are too large to train well
    layout = Layout.of_policy(tiny_dia.save(model, folder))
    sequences = NearMiss("", "", layout).sequences(recordings(layout, 400, seed=1, prompted=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, STEPS)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        batch = [sequences[i] for i in rng.choice(len(sequences), 16, replace=False)]
        tokens, labels = collate([s.context for s in batch], [s.target for s in batch])
        loss = -label_logprobs(model, tokens, labels).sum() / sum(len(s.target) for s in batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return tiny_dia.save(model, folder)


def check(folder: Path, **codes: object) -> Report:
    """Check the checkpoint with a changed layout."""
    content = yaml.safe_load((folder / "layout.yaml").read_text())
    content["codes"] |= codes
    (folder / "changed.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    declared = Layout.load(str(folder / "changed.yaml"), folder)
    model = load_causal_lm(folder, declared.tokenizer)
    return check_layout(model, declared, recordings(Layout.of_policy(folder), 16, seed=2))


def test_the_right_layout_beats_every_near_miss(trained):
    report = check(trained)
    assert (report.better, report.ties) == ([], [])
    wanted = {"codes +1", "codes -1", "upper books a frame later", "audio at 2 × its rate", "another recording's text"}
    assert wanted <= {row.name for row in report.rows}


def test_planted_faults_are_found_and_named(trained):
    assert check(trained, slots=[0, 2, 1]).better[0].name == "slots 1 and 2 swapped"
    with pytest.raises(LayoutError, match=r"the code token <\|code_16\|> has another purpose too"):
        check(trained, first=1)
