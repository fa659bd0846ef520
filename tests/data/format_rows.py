"""The rows that a format makes of a text."""

from __future__ import annotations

import io

from seqlab.data.formats.choice import make_format
from seqlab.errors import DataError


def given_rows(name, content, **options):
    """Rows and errors as the format gives them."""
    data = content if isinstance(content, bytes) else content.encode()
    made = make_format({"name": name, **options}, "a.file")
    return list(made.read(io.BytesIO(data), "a.file"))


def rows(name, content, **options):
    found = given_rows(name, content, **options)
    for _, row in found:
        if isinstance(row, DataError):
            raise row
    return found
