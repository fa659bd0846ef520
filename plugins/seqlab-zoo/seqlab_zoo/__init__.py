"""Recurrent cells from the literature, for seqlab."""
