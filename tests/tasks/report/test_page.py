"""What stands on the page: every number, every sound, no foreign markup, and a gap where something was not run."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile

from model.statistics import Interval
from tasks.common.page import numbers
from tasks.common.scores import SETS, SYSTEMS, by_judge, table_of
from tasks.report.__main__ import write
from tests.tasks.report.loop import BOUNDS

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' & {{ 7 * 7 }}"


class Elements(HTMLParser):
    """All elements with their attributes, and the text of the page."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page_of(path: Path = Path("page.html")) -> str:
    write(path)
    return path.read_text(encoding="utf-8")


def test_every_number_of_the_metrics_is_on_the_page(make_loop: Callable) -> None:
    loop = make_loop()
    page = page_of()
    ceiling = json.loads(Path("runs/ceiling/metrics.json").read_text())
    tables = [
        (table_of(loop.metrics(k), "test", decoding, texts), kinds)
        for k in loop.error_rates
        for decoding, kinds in (("best", ("versus_start", "versus_previous")), ("loop", ("versus_start",)))
        for texts in loop.sets
    ]
    for table, kinds in [*tables, *((ceiling[system], ()) for system in SYSTEMS)]:
        for metric in by_judge(held_out=False):
            for group in ("all", "seen", "unseen"):
                if metric.name in table[group]:
                    interval = Interval.from_json(table[group][metric.name])
                    assert numbers.level(interval.value, metric) in page
                    assert numbers.level_interval(interval, metric) in page
            for kind in kinds:
                if metric.name in table.get(kind, {}):
                    interval = Interval.from_json(table[kind][metric.name])
                    assert numbers.difference(interval.value, metric) in page
                    assert numbers.difference_interval(interval, metric) in page


def test_texts_without_recordings_have_neither_ceiling_nor_duration(make_loop: Callable) -> None:
    make_loop()
    page = page_of()
    long, recorded = (page[page.index(f'<section id="{texts}">') :].split("</section>")[0] for texts in SETS[::-1])
    for word in ("Golden, resynthesized", "Duration"):
        assert word in recorded and word not in long


def test_a_policy_whose_best_decoding_is_the_loops_is_shown_once(make_loop: Callable) -> None:
    make_loop(one_decoding=True)
    page = page_of()
    assert "this is its best decoding: as above" in page
    assert "all at the loop's decoding" not in page


def test_decodings_and_the_share_of_one_temperature_are_on_the_page(make_loop: Callable) -> None:
    make_loop()
    page = page_of().replace("\N{NO-BREAK SPACE}", " ")
    section = page[page.index('<section id="decoding">') :].split("</section>")[0]
    for number in ("T 0.5", "0.765", "0.0432", "0.83", "12 %", "0 of 400", "14 of 400, 2 drawn again"):
        assert f">{number}<" in section
    assert section.count('<svg class="chart"') == 2
    assert "One temperature (0.83) explains 12 % of what alignment changed: 0.043 nats per token" in page


def test_a_policy_whose_stuck_samples_were_not_counted_has_none_on_the_page(make_loop: Callable) -> None:
    loop = make_loop()
    for name in loop.error_rates:
        path = Path(f"runs/{name}/metrics.json")
        path.write_text(json.dumps({k: v for k, v in loop.metrics(name).items() if k != "stuck"}))
    assert "of 400" not in page_of()


def test_similarity_is_shown_between_its_bounds(make_loop: Callable) -> None:
    loop = make_loop()
    section = page_of().replace("\N{NO-BREAK SPACE}", " ")
    section = section[section.index('<section id="voices">') :].split("</section>")[0]
    for kind in ("seen", "unseen"):
        value = table_of(loop.metrics("3"), set="recorded")[kind]["similarity"]["value"]
        share = (value - BOUNDS["floor"]) / (BOUNDS["ceiling"] - BOUNDS["floor"])
        assert f"{100 * share:.0f} %</td>" in section
    assert "0.575" in section and "0.890" in section


def test_numbers_can_be_read_back_unrounded(make_loop: Callable) -> None:
    loop = make_loop()
    [data] = re.findall(r'<script type="application/json" id="numbers">(.*?)</script>', page_of())
    read = json.loads(data)["iterations"]
    assert read == {name: loop.metrics(name) for name in loop.error_rates}


def test_hostile_texts_and_ids_stay_text(make_loop: Callable) -> None:
    make_loop(
        texts={0: HOSTILE},
        ids={0: '"><b>id', 1: "a&lt;b"},
        speakers=[("<i>speaker</i>", True), ("m1", True), ("x' onclick='y", False)],
    )
    rejected = {"id": "x", "path": "x", "reason": HOSTILE, "expected": HOSTILE, "found": "x"}
    Path("data/rejected.jsonl").write_text(json.dumps(rejected) + "\n")
    with Path("params.yaml").open("a") as params:
        params.write(f"# {HOSTILE}\n")
    page = page_of()
    elements = Elements(page)
    assert HOSTILE in elements.text
    assert '"><b>id' in elements.text
    assert len(elements.named("script")) == 2
    assert all(set(image) == {"src", "alt"} for image in elements.named("img"))
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "<i>speaker" not in page


def test_page_needs_nothing_from_outside(make_loop: Callable) -> None:
    make_loop()
    elements = Elements(page_of())
    assert not [link for link in elements.named("link") if link["href"] != "data:,"]
    for _, attributes in elements.found:
        for name in ("src", "href"):
            if value := attributes.get(name):
                assert value.startswith(("data:", "#"))
    assert "default-src 'none'" in str(elements.named("meta"))


def test_sounds_decode_to_the_recordings(make_loop: Callable) -> None:
    loop = make_loop(audio_samples=2)
    sounds = [a["src"] or "" for a in Elements(page_of()).named("audio")]
    files = [*Path("runs").glob("ceiling/audio/*.flac"), *Path("runs").glob("?/audio/*.flac")]
    assert len(sounds) == len(files) == 2 * 3 + 2 * len(loop.sets) * len(loop.error_rates)
    decoded = sorted(
        soundfile.info(io.BytesIO(base64.b64decode(sound.removeprefix("data:audio/flac;base64,")))).frames
        for sound in sounds
    )
    assert decoded == sorted(soundfile.info(path).frames for path in files)


def test_every_picture_and_sound_has_a_label(make_loop: Callable) -> None:
    make_loop()
    elements = Elements(page_of())
    assert elements.named("img")
    assert all(image["alt"] for image in elements.named("img"))
    assert all(sound["aria-label"] for sound in elements.named("audio"))
    charts = [svg for svg in elements.named("svg") if svg.get("class") == "chart"]
    assert charts
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in charts)


def test_iteration_after_an_early_stop_is_shown_as_not_run(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1, "1": 0.1, "2": 0.3})
    page = page_of()
    rows = re.findall(r'<th scope="row">Iteration 3</th>\s*<td class="none" colspan="\d+">not run</td>', page)
    assert len(rows) > 2 * len(SETS)
    assert "Not run (or not evaluated): iteration 3." in page


@pytest.mark.parametrize(
    "gone",
    [
        "runs/ceiling",
        "runs/0",
        "runs/2/pairs.parquet",
        "runs/2/utterances.parquet",
        "runs/1/audio",
        "data",
    ],
)
def test_page_is_made_without_any_one_part(make_loop: Callable, gone: str) -> None:
    make_loop()
    path = Path(gone)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "Iteration 3" in page_of()


def test_sft_alone_is_reported_as_such(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1})
    assert "Nothing is aligned yet" in page_of()


def test_without_unseen_speakers_there_is_no_tab_for_them(make_loop: Callable) -> None:
    make_loop(speakers=[("m1", True), ("m6", True)])
    page = page_of()
    assert 'id="g-long-seen"' in page
    assert 'id="g-long-unseen"' not in page


def test_training_curves_are_left_to_mlflow(make_loop: Callable) -> None:
    make_loop()
    page = page_of()
    assert "Training curves are in MLflow" in page
    assert 'id="training"' not in page


def test_settings_and_rejected_files_are_listed(make_loop: Callable) -> None:
    make_loop()
    elements = Elements(page_of())
    assert Path("params.yaml").read_text(encoding="utf-8") in elements.text
    assert "sound above -60 dB" in elements.text


def test_default_page_stays_small(make_loop: Callable) -> None:
    make_loop(utterances=60, audio_samples=10)
    assert len(page_of()) < 8_000_000
