"""Heads: a task each, with its loss, decoding and metrics."""
