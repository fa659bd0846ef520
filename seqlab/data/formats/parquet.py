"""Apache Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from seqlab.data.formats.base import Format, Numbered
from seqlab.errors import DataError
from seqlab.files import reading

_CHUNK = 1000


class ParquetFormat(Format):
    """Apache Parquet: the rows of a table with their own types, numbered from 1."""

    unit = "row"

    @staticmethod
    def example() -> bytes:
        """Two rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        stream = io.BytesIO()
        table = pa.table({"tokens": [["Ada", "sang"], ["Bob"]], "label": ["a", "b"]})
        pq.write_table(table, stream)
        return stream.getvalue()

    def read(self, stream: BinaryIO, file: str) -> Iterator[Numbered]:
        """The rows; a file that is damaged further on is refused there."""
        import pyarrow.parquet as pq

        number = 0
        with reading(file, DataError, "a readable Parquet file"):
            whole = stream if stream.seekable() else io.BytesIO(stream.read())
            for batch in pq.ParquetFile(whole).iter_batches(batch_size=_CHUNK):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
