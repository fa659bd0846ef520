"""Layers: a cell run over time by an engine; sequence in, sequence and final state out."""
