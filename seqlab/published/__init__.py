"""Weights that others have published, as bundles: the files are read, no code of theirs is run."""
