"""Transforms: rows to rows, before features and targets read them."""
