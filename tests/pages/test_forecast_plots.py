"""A forecast's plot: every number in its place, and one figure of a page."""

import pytest
from seqlab.pages import Page
from seqlab.pages.forecasts import forecast_plot

QUANTILES = {"0.9": [6.0, 8.0], "0.1": [4.0, 4.5], "0.5": [5.0, 6.0]}


def test_numbers_stand_where_they_are_in_time():
    plot = forecast_plot([1.0, 2.0, 3.0], [5.0, 6.0], truth=[5.5], quantiles=QUANTILES, unit="MW")
    assert plot.series["before"] == [(-2, 1.0), (-1, 2.0), (0, 3.0)]
    assert plot.series["forecast (0.1 to 0.9)"] == [(1, 5.0, 4.0, 6.0), (2, 6.0, 4.5, 8.0)]
    assert plot.series["what came"] == [(1, 5.5)]
    assert plot.y == "MW"


def test_without_quantiles_and_truth_there_are_two_lines():
    plot = forecast_plot([1.0], [2.0])
    assert plot.series == {"before": [(0, 1.0)], "forecast": [(1, 2.0)]}


def test_it_is_a_figure_of_a_page():
    pytest.importorskip("matplotlib")
    page = Page("Forecasts")
    page.figure(forecast_plot([1.0, 2.0], [5.0, 6.0], quantiles=QUANTILES), "One day")
    assert "<svg" in page.html()
    assert "steps from the last known one" in page.html()
