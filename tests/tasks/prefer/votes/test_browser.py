"""The pages in a real browser, by keyboard only."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.prefer.votes import returned
from tasks.prefer.votes.options import Scale
from tests.conftest import REPOSITORY
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.browser import browser, needs_browser
from tests.tasks.prefer.votes.test_running import free_port, serve

pytestmark = needs_browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def begin(tab, address, rater):
    tab.open(address)
    tab.press("Tab")  # to the name
    tab.type(rater)
    tab.press("Enter")
    tab.wait("document.getElementById('begin').hidden || document.getElementById('problem').textContent")


def test_a_rater_votes_by_keyboard_through_a_kill_of_the_server(tab, tmp_path):
    folder, key = listening.written(tmp_path, texts=2, seconds=0.15, warm_up=1, checks=1)
    port = free_port()
    server = serve(folder, port)
    try:
        assert server.stdout.readline()
        begin(tab, f"http://127.0.0.1:{port}/", "Анна 'A'")
        assert "Practice 1 of 1" in tab.shown("place")
        tab.press("b")  # not before both were played
        assert "Play both first" in tab.shown("hint") and not listening.votes_on_disk(folder)
        for number, choice in enumerate("abt"):
            tab.play_all()
            if number == 2:
                server.kill()
                server.communicate()
            tab.press(choice)
            if number < 2:
                tab.wait("document.getElementById('saved').textContent === 'All your votes are saved.'")
        tab.wait("document.getElementById('saved').textContent.includes('not saved yet')")
        assert len(listening.votes_on_disk(folder)) == 2
        server = serve(folder, port)
        tab.wait("document.getElementById('saved').textContent === 'All your votes are saved.'")
        tab.play_all()
        tab.press("a")
        tab.wait("!document.getElementById('end').hidden")
        tab.wait("document.getElementById('thanks').textContent.includes('3 of 3 pairs voted on. Thank you')")
        cast = returned.read(folder, key)
        assert len(cast) == 4 and {vote.name for vote in cast} == {"Анна 'A'"}
        # What the rater saw as A may be B of the key: the page says so, and the choice is of the key.
        assert sorted(vote.first for vote in cast) == ["A", "A", "B", "tie"]

        begin(tab, f"http://127.0.0.1:{port}/", "анна  'a'")  # the same rater comes back
        assert "3 of 3 pairs voted on" in tab.shown("thanks")
        tab.value("localStorage.clear()")
        begin(tab, f"http://127.0.0.1:{port}/", "Анна 'A'")
        assert "used in another browser" in tab.shown("problem")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_the_page_alone_saves_a_sheet_that_result_reads(tab, tmp_path):
    listening.systems(tmp_path, texts=2, seconds=0.15)
    scales = {"scale": [Scale.quality, Scale.similarity], "prompts": str(tmp_path / "prompts")}
    folder, key = listening.written(tmp_path, warm_up=0, checks=0, **scales)
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "returned"))
    begin(tab, (folder / "vote.html").as_uri(), 'Anna "A", the first')
    for choice in "ab":
        tab.play_all("123")
        tab.press(choice)
        assert "Rate both recordings" in tab.shown("open")
        tab.value("document.activeElement.blur(); document.querySelector('.vote[data-choice=B]').focus()")
        for _ in range(4):  # two scales, two sides: into the group, and one to the right
            tab.press("Tab")
            tab.press(" ")
            tab.press("ArrowRight")
        tab.press("Tab")
        tab.press("Tab")
        tab.press("Enter")
    tab.wait("!document.getElementById('end').hidden")
    tab.value("document.querySelector('#end .save').click()")
    saved = waited_for(tmp_path / "returned", tab)
    cast = returned.read(folder, key, [saved])
    assert [vote.quality for vote in cast] == [(2, 2)] * 2 and [vote.similarity for vote in cast] == [(2, 2)] * 2
    assert sorted(vote.first for vote in cast) == ["A", "B"]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.prefer.votes", "result", str(folder), str(saved)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "2 votes by 1 rater," in done.stdout and "QMOS (1 to 5)" in done.stdout


def waited_for(folder: Path, tab) -> Path:
    for _ in range(300):
        if found := list(folder.glob("*.csv")):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(tab.text())


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_nothing_is_wider_than_the_screen(tab, tmp_path, width):
    systems = tmp_path / "texts.csv"
    listening.systems(tmp_path, texts=1, seconds=0.15)
    systems.write_text('id,text\nt0,"Donaudampfschifffahrtsgesellschaftskapitänsmütze and <b>more</b> & more"\n')
    scales = {"scale": [Scale.quality, Scale.similarity], "prompts": str(tmp_path / "prompts")}
    folder, _ = listening.written(tmp_path, warm_up=0, checks=0, **scales)
    tab.size(width, 700)
    begin(tab, (folder / "vote.html").as_uri(), "Anna")
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert "<b>more</b> & more" in tab.shown("words")
    small = "[...document.querySelectorAll('#trial button, .rating label')].filter((b) => b.offsetHeight < 40).length"
    assert tab.value(small) == 0  # large enough for a finger
