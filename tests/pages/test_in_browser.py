"""Pages opened in a real browser: nothing is asked of the network, nothing is broken."""

import pytest
from browser import Browser, find_browser
from seqlab import registry
from seqlab.microscope.fresh import compare_fresh
from seqlab.microscope.gradients_page import gradients_page

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def path(full_page, tmp_path):
    return full_page.write(tmp_path / "report.html")


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_page_opens_alone_and_whole(browser, path, width, dark):
    browser.open(path, width=width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == [path.resolve().as_uri()]
    assert browser.nameless() == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_tables_are_sorted_by_a_click(browser, path):
    browser.open(path)
    column = (
        "[...document.querySelectorAll('table.sortable')].at(-1).tBodies[0].rows"
        "[Symbol.iterator]().map(r => r.cells[0].textContent).toArray().join('')"
    )
    button = "[...document.querySelectorAll('table.sortable')].at(-1).querySelectorAll('button')"
    assert browser.evaluate(column) == "bac"
    browser.evaluate(f"{button}[1].click()")
    assert browser.evaluate(column) == "abc"  # by number, not by the letters of 10, 9, 1000
    browser.evaluate(f"{button}[1].click()")
    assert browser.evaluate(column) == "cba"


def test_dark_pages_are_dark_and_paper_is_light(browser, path):
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    found = {}
    for dark, media in ((False, "screen"), (True, "screen"), (True, "print")):
        browser.open(path, dark=dark, media=media)
        found[dark, media] = browser.evaluate(paper), browser.evaluate(ink)
    assert found[True, "print"] == found[False, "screen"]
    assert found[True, "screen"][0] == "rgb(15, 20, 25)"
    assert found[True, "screen"][1] != found[False, "screen"][1]


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_of_gradients_opens_alone_and_whole(browser, tmp_path, width):
    sizes = {"length": 20, "hidden_size": 4, "rows": 1, "seed": 0}
    cells = {name: registry.get("cell", name) for name in ("rnn", "lstm", "min_gru")}
    path = gradients_page(compare_fresh(cells, **sizes), **sizes).write(tmp_path / "report.html")
    browser.open(path, width=width, dark=True)
    assert browser.complaints() == []
    assert browser.requests() == [path.resolve().as_uri()]
    assert browser.nameless() == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
