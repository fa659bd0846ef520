"""Pages for people: one HTML file each, with text, tables and plots, that asks no network.

>>> from seqlab.pages import Lines, Page
>>> page = Page("A run")
>>> page.text("The loss fell from 2 to 1.")
>>> page.figure(Lines({"loss": [(1, 2.0), (2, 1.0)]}, x="step", y="loss"), "Loss by step")
>>> "<h1>A run</h1>" in page.html()
True
"""

from seqlab.pages.forecasts import forecast_plot
from seqlab.pages.page import Page
from seqlab.pages.plots import Bars, Heatmap, Intervals, Lines, Plot, Points

__all__ = ["Bars", "Heatmap", "Intervals", "Lines", "Page", "Plot", "Points", "forecast_plot"]
