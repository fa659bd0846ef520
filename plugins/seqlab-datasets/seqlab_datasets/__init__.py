"""Data sets and experiments for seqlab."""
