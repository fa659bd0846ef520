"""Search over a space of configs: trials that are ordinary runs, several workers, one journal."""
