import re
from html.parser import HTMLParser

import pytest
from seqlab.pages import Lines, Page, drawing

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Outline(HTMLParser):
    """Refuses a page whose elements do not close, and keeps what it needs of it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.names = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        values = dict(attrs)
        self.ids += filter(None, [values.get("id")])
        self.addresses += [values[k] for k in ("src", "href", "xlink:href") if k in values]
        if tag == "svg":
            self.names.append((values.get("role"), values.get("aria-label")))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_asks_for_nothing(full_page):
    outline = Outline(full_page.html())
    assert len(outline.ids) == len(set(outline.ids))
    assert all(a.startswith(("#", "data:")) for a in outline.addresses)
    assert all(a[1:] in outline.ids for a in outline.addresses if a[0] == "#")
    assert len(outline.names) == 6
    assert all(role == "img" and name for role, name in outline.names)


def test_text_of_the_user_is_no_markup(full_page):
    html = full_page.html()
    assert "<b>" not in html
    assert "<lstm>" not in html
    assert "<code>a&lt;b</code>" in html
    assert "$x_1$" in html


def test_colours_of_plots_are_those_of_the_style_sheet(full_page):
    svg = "".join(re.findall(r"<svg.*?</svg>", full_page.html(), re.DOTALL))
    names = set(re.findall(r"var\((--[\w-]+)\)", svg))
    assert {"--ink", "--series-0", "--series-1"} <= names
    for name in names:
        assert f"{name}:" in full_page.html()
    # white and black stand on the colours of a matrix alone
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#ffffff", "#000000"}


def test_same_page_twice_is_the_same_bytes(full_page):
    assert full_page.html() == full_page.html()


def test_numbers_of_a_plot_stand_in_a_table():
    page = Page("p")
    page.figure(Lines({"loss": [(1, 0.125), (2, 0.0625)]}, x="step", y="loss"), "Loss")
    assert re.search(r"<summary>Numbers of: Loss</summary>.*0\.0625", page.html(), re.DOTALL)


def test_without_matplotlib_numbers_stay(full_page, monkeypatch):
    page = Page("p")
    monkeypatch.setattr("seqlab.pages.page.can_draw", lambda: False)
    page.figure(Lines({"loss": [(1, 0.125)]}), "Loss")
    html = page.html()
    assert "pip install" in html
    assert "<svg" not in html
    assert "<details open>" in html


@pytest.mark.parametrize("index", range(6))
def test_each_plot_is_a_picture_too(index):
    from conftest import every_plot

    title, plot = list(every_plot().items())[index]
    assert drawing.as_png(plot, title, dpi=50).startswith(b"\x89PNG")


def test_numbers_down_to_the_least_float_are_drawn():
    page = Page("p")
    page.figure(Lines({"gone": [(1, 1.0), (2, 1e-160), (3, 5e-324), (4, 0.0)]}, log_y=True), "Few")
    assert "<svg" in page.html()


def test_empty_and_single_values_are_drawn():
    page = Page("p")
    page.figure(Lines({"none": [], "one": [(0, 1.0)]}, log_x=True, log_y=True), "Few")
    page.table(["a"], [])
    Outline(page.html())
