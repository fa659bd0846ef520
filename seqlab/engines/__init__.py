"""Engines: ways to run a cell over time. `loop` is the reference for all others."""
