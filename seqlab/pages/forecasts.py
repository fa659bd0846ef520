"""A forecast as a plot: what was before, what is said, and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seqlab.pages.plots import Lines, Number, Point


def forecast_plot(
    context: Sequence[Number],
    values: Sequence[Number],
    *,
    truth: Sequence[Number] = (),
    quantiles: Mapping[str, Sequence[Number]] | None = None,
    unit: str = "",
) -> Lines:
    """One series with its forecast; step 0 is the last one that was known.

    Args:
        context: the steps before.
        values: the steps that are forecast, as an answer of the head ``forecast`` has them.
        truth: the steps that came, as far as they are known.
        quantiles: an answer's; the band goes from the lowest to the highest.
        unit: what the numbers are.

    Example:
        >>> quantiles = {"0.1": [4, 4], "0.9": [6, 8]}
        >>> plot = forecast_plot([3, 4], [5, 6], truth=[5], quantiles=quantiles)
        >>> plot.series["before"], plot.series["forecast (0.1 to 0.9)"]
        ([(-1, 3), (0, 4)], [(1, 5, 4, 6), (2, 6, 4, 8)])
    """
    steps = range(1, len(values) + 1)
    name, points = "forecast", list[Point](zip(steps, values, strict=True))
    levels = sorted(quantiles or {}, key=float)
    if quantiles is not None and len(levels) > 1:
        low, high = quantiles[levels[0]], quantiles[levels[-1]]
        name = f"forecast ({levels[0]} to {levels[-1]})"
        points = list(zip(steps, values, low, high, strict=True))
    before: list[Point] = [(step - len(context) + 1, x) for step, x in enumerate(context)]
    series: dict[str, Sequence[Point]] = {"before": before, name: points}
    if truth:
        series["what came"] = list(enumerate(truth, start=1))
    return Lines(series, x="steps from the last known one", y=unit, dashed=("what came",))
