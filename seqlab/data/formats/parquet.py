"""Apache Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab.errors import DataError

_CHUNK = 1000


def read_parquet(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, numbered from 1.

    Raises:
        DataError: not a Parquet file, or a damaged one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=_CHUNK):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{file}: not a readable Parquet file: {reason}") from error
