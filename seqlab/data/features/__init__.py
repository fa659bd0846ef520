"""Input features, kind ``feature``: a column of raw values to ids or numbers."""
