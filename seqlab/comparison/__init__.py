"""Contestants compared: the same seeds, equal sizes or time, and what the differences mean."""
