"""Targets, kind ``target``: what a model learns to predict."""
