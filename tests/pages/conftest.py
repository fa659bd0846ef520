import pytest
from seqlab.pages import Bars, Heatmap, Intervals, Lines, Page, Points

#: Names that would end an element, start mathematics or need other fonts.
WORDS = ["<b>", "$x_1$", "猫 & co"]


def every_plot():
    curve = [(k, 0.5**k, 0.4**k, 0.6**k) for k in range(1, 60)]
    return {
        "curves <by> step": Lines(
            {"lstm": curve, WORDS[1]: [(k, k**-2.0) for k in range(1, 60)]},
            x="step", y="loss", log_y=True, marks={"half-life": 12}, dashed=[WORDS[1]],
        ),
        "confusion": Heatmap(
            [[5, 1, 0], [2, 7, 1], [0, 0, 9]], WORDS, WORDS, x="given", y="right", show_values=True
        ),
        "states": Heatmap([[0.1, -0.5], [0.2, 0.9]], x="step", y="unit", diverging=True),
        "gates": Bars(WORDS, {"low": [0.1, 0.2, 0.3], "high": [0.3, 0.1, 0.0]}, y="share"),
        "intervals": Intervals([("lstm", 0.9, 0.85, 0.95), ("gru", 0.8, 0.7, 0.9)], x="accuracy"),
        "path": Points({"row": [(0, 0), (1, 2), (2, 1)]}, labels={"row": WORDS}, joined=True),
    }  # fmt: skip


@pytest.fixture
def full_page():
    page = Page("A run of <lstm> & co", "It learnt `a<b`.")
    page.section("Plots", "One paragraph.\n\nAnother.")
    for title, plot in every_plot().items():
        page.figure(plot, title, "What is to be seen.")
    page.section("Numbers")
    rows = [["b", 10, 0.5], ["a", 9, None], ["c", 1000, 0.25]]
    page.table(["name", "rows", "share"], rows, "Results")
    page.table(["without", "caption"], [["x", 1]])
    page.items(["one", "two"])
    return page
