"""Linear recurrences: all coefficients at once, then one pass or scan over time."""
