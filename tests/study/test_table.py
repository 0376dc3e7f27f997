"""The study's page."""

import json
from pathlib import Path

import pytest
import yaml

from study import table
from study.pooled import Results
from tests.conftest import REPOSITORY


def test_the_page_names_every_gain_with_its_interval_and_the_relative_change(study, capsys):
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["evaluate"]["bootstrap_samples"] = 200
    Path("params.yaml").write_text(yaml.safe_dump(params))
    table.main()
    page = Path("reports/study.md").read_text()
    assert page.strip() in capsys.readouterr().out
    assert page.count("| DPO, iteration 3 |") == 6  # in both sets: best decoding, the loop's, on each seed
    found = {e["title"]: e for e in json.loads(Path("reports/study.json").read_text())}
    scores = found["DPO, iteration 3"]["sets"]["recorded"]
    change = scores["versus_start"]["wer"]["value"]
    relative = 100 * change / (scores["all"]["wer"]["value"] - change)
    part = page.split("## Texts as long")[1]
    line = next(line for line in part.splitlines() if line.startswith("| DPO, iteration 3 |"))
    assert f"{100 * change:+.2f} [".replace("-", "−") in line and f"| {relative:+.0f} %".replace("-", "−") in line
    assert any(line.startswith("| continued SFT |") and "(DPO, iteration 1)" in line for line in page.splitlines())


def test_without_any_loop_the_page_says_what_to_run(study):
    for seed in (17, 18):
        for iteration in range(4):
            (study.results("loop", seed) / f"{iteration}/metrics.json").unlink()
    with pytest.raises(Exception, match="study --targets loop"):
        table.page(Results(study, 200, 0).entries(), study.seeds)
