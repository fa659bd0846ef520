"""Wrappers: they make a layer out of layers, and nest in any order."""
